"""What machines tell of themselves, and how commands on them ended."""

from __future__ import annotations

import os
import shutil
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec
import psutil

from interactive_dl.cluster import _doctor_probes as probes
from interactive_dl.cluster.examination._sight import Sight, Target, called, has_mark, machine

_SAID = 600
PROBE = (sys.executable, "-m", "interactive_dl.engine.probe")
"""Command of a rank, up to the question that it answers."""


class NodeFacts(Sight, frozen=True, kw_only=True):
    """What a node sees, and what it has.

    Attributes:
        node: its name, as the scheduler or ssh has it.
        round_trip_s: the shortest of some exchanges with the listening host.
        ahead_s: by how much the node's clock is ahead of that host's.
        python: version of the interpreter.
        packages: versions by name.
        mpi: library that mpi4py loads, in its own words; empty where it loads none.
        mpiexec: what the first mpiexec in ``PATH`` says it is; empty where there is none.
        addresses: IPv4 addresses by network interface.
        shm_free_bytes: free in ``/dev/shm``; None where there is none.
    """

    node: str
    round_trip_s: float
    ahead_s: float
    python: str
    packages: dict[str, str]
    mpi: str
    mpiexec: str
    addresses: dict[str, str]
    shm_free_bytes: int | None


class Ended(msgspec.Struct, frozen=True):
    """How a command ended.

    Attributes:
        lines: of JSON that it printed.
        problem: why it failed; empty where it did not.
    """

    lines: tuple[str, ...]
    problem: str = ""


@dataclass(frozen=True)
class Here:
    """The host of the notebook.

    Attributes:
        host: its name.
        address: that controller and recorder would listen on.
        folder: that the nodes should see.
        python, packages, addresses: as of a node.
    """

    host: str
    address: str
    folder: str
    python: str
    packages: Mapping[str, str]
    addresses: Mapping[str, str]


def node_facts(node: str, target: Target) -> NodeFacts:
    """Of this machine.

    Args:
        node: its name.
        target: what it is to see.
    """
    unreached, round_trip_s, ahead_s = called(target)
    mpi = probes.ask("mpi", {})
    shm = shutil.disk_usage("/dev/shm").free if Path("/dev/shm").is_dir() else None
    return NodeFacts(
        machine=machine(),
        cores=len(os.sched_getaffinity(0)),
        has_mark=has_mark(target),
        unreached=unreached,
        node=node,
        round_trip_s=round_trip_s,
        ahead_s=ahead_s,
        python=_python(),
        packages=probes.package_versions(),
        mpi=(mpi.facts or {}).get("library", ""),
        mpiexec=probes.mpiexec(os.environ).version,
        addresses=_ipv4_addresses(),
        shm_free_bytes=shm,
    )


def here(address: str, folder: Path) -> Here:
    """Of this machine, as the host of the notebook.

    Args:
        address: that controller and recorder would listen on.
        folder: that the nodes should see.
    """
    return Here(
        host=socket.gethostname(),
        address=address,
        folder=str(folder),
        python=_python(),
        packages=probes.package_versions(),
        addresses=_ipv4_addresses(),
    )


def ended(code: int, output: str, errors: str) -> Ended:
    """What a command that has ended comes to.

    Args:
        code: its exit code.
        output, errors: what it printed to either.
    """
    lines = tuple(line for line in output.splitlines() if line.startswith("{"))
    if code == 0:
        return Ended(lines)
    said = " ".join((errors or output).split())
    return Ended(lines, f"exit code {code}: {said[:_SAID] or 'it printed nothing'}")


def endless(timeout_s: float) -> Ended:
    """What a command that has not ended in time comes to."""
    return Ended((), f"no end within {timeout_s:g} s")


def _python() -> str:
    return ".".join(map(str, sys.version_info[:3]))


def _ipv4_addresses() -> dict[str, str]:
    """IPv4 addresses of this host, by network interface."""
    return {
        name: found.address
        for name, all_ in psutil.net_if_addrs().items()
        for found in all_
        if found.family == socket.AF_INET
    }
