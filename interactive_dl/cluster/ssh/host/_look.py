"""What a host sees, before anything is started on it."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import msgspec

from interactive_dl.cluster.slurm.preflight._line import Caller
from interactive_dl.cluster.ssh.host import SIGN

_CALL_S = 3.0
_BOOT = Path("/proc/sys/kernel/random/boot_id")


class Facts(msgspec.Struct, frozen=True):
    """What a host sees.

    Attributes:
        machine: tells it from all others, under whatever name ssh knows it.
        cores: that a process may use there.
        has_mark: whether it read the right mark in IPython's folder.
        unreached: why the notebook's host was not reached from it; empty where it was.
    """

    machine: str
    cores: int
    has_mark: bool
    unreached: str


def look(mark: Path, address: str, port: int, token: str) -> None:
    """Print the facts of this host."""
    caller = Caller(address, port, token, _CALL_S)
    unreached = ""
    try:
        caller.clock()
    except TimeoutError as error:
        unreached = str(error)
    caller.close()
    facts = Facts(
        machine=f"{socket.gethostname()} {_BOOT.read_text().strip()}",
        cores=len(os.sched_getaffinity(0)),
        has_mark=mark.exists() and mark.read_text() == token,
        unreached=unreached,
    )
    print(f"{SIGN}{msgspec.json.encode(facts).decode()}", flush=True)
