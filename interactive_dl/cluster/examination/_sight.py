"""What a machine sees at once: whether it reaches another one, and shares its files."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from pathlib import Path

import msgspec

from interactive_dl.cluster.examination._line import Caller

_CALL_S = 3.0
_BOOT = Path("/proc/sys/kernel/random/boot_id")


class Sight(msgspec.Struct, frozen=True, kw_only=True):
    """What a machine sees.

    Attributes:
        machine: tells it from all others, under whatever name it is known.
        cores: that a process may use there.
        has_mark: whether it read the right mark in the folder.
        unreached: why the listening host was not reached from it; empty where it was.
    """

    machine: str
    cores: int
    has_mark: bool
    unreached: str


@dataclass(frozen=True)
class Target:
    """What a machine is to see.

    Attributes:
        mark: file that holds the token.
        address, port: where the host of the notebook listens.
        token: what a caller says first, so that nobody else's call is taken for one.
    """

    mark: Path
    address: str
    port: int
    token: str


def sight(target: Target) -> Sight:
    """What this machine sees."""
    unreached, _, _ = called(target)
    return Sight(
        machine=machine(),
        cores=len(os.sched_getaffinity(0)),
        has_mark=has_mark(target),
        unreached=unreached,
    )


def called(target: Target) -> tuple[str, float, float]:
    """Why the listening host was not reached, or nothing; round trip and clock, as of a caller."""
    caller = Caller(target.address, target.port, target.token, _CALL_S)
    try:
        return ("", *caller.clock())
    except TimeoutError as error:
        return (str(error), 0.0, 0.0)
    finally:
        caller.close()


def has_mark(target: Target) -> bool:
    """Whether the mark is there, and the right one."""
    try:
        return target.mark.read_text() == target.token
    except OSError:
        return False


def machine() -> str:
    """Tells this machine from all others."""
    return f"{socket.gethostname()} {_BOOT.read_text().strip()}"
