"""What is asked and answered between the host of the notebook and the nodes."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import msgspec
import psutil

_MARK = "mark"
_QUESTION = "question.json"


class Question(msgspec.Struct, frozen=True):
    """What the programs in the job are to look at.

    Attributes:
        address, port: where the host of the notebook listens.
        token: what a caller says first, so that nobody else's call is taken for one.
        nodes: how many there should be.
        engines: how many ranks there should be.
        launcher: what starts them, by name.
        start: its command, up to the program.
    """

    address: str
    port: int
    token: str
    nodes: int
    engines: int
    launcher: str
    start: tuple[str, ...]


class NodeFacts(msgspec.Struct, frozen=True):
    """What a node sees.

    Attributes:
        node: its name, as Slurm has it.
        unreached: why the listening host was not reached; empty where it was.
        round_trip_s: the shortest of some exchanges with it.
        ahead_s: by how much the node's clock is ahead of that host's.
        has_mark: whether the node read the right mark in the folder.
        python: version of the interpreter.
        packages: versions by name.
        mpi: library that mpi4py loads, in its own words; empty where it loads none.
        mpiexec: what the first mpiexec in ``PATH`` says it is; empty where there is none.
        addresses: IPv4 addresses by network interface.
        shm_free_bytes: free in ``/dev/shm``; None where there is none.
    """

    node: str
    unreached: str
    round_trip_s: float
    ahead_s: float
    has_mark: bool
    python: str
    packages: dict[str, str]
    mpi: str
    mpiexec: str
    addresses: dict[str, str]
    shm_free_bytes: int | None


class Ended(msgspec.Struct, frozen=True):
    """How a command in the job ended.

    Attributes:
        lines: of JSON that it printed.
        problem: why it failed; empty where it did not.
    """

    lines: tuple[str, ...]
    problem: str = ""


class JobFacts(msgspec.Struct, frozen=True):
    """What the first node saw.

    Attributes:
        nodes: how the program on every node ended.
        world: how ranks under the launcher ended.
        plain: how ranks under a plain srun ended.
        plug_ins: of srun, as ``srun --mpi=list`` names them.
    """

    nodes: Ended
    world: Ended
    plain: Ended
    plug_ins: tuple[str, ...]


Kind = Literal["node", "job"]


class Folder:
    """The folder through which both sides may see each other.

    Args:
        path: of it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def ask(self, question: Question) -> None:
        """Leave the question, and a mark that proves that it is this folder."""
        (self._path / _QUESTION).write_bytes(msgspec.json.encode(question))
        (self._path / _MARK).write_text(question.token)

    def has_mark(self, token: str) -> bool:
        """Whether the mark is there."""
        try:
            return (self._path / _MARK).read_text() == token
        except OSError:
            return False

    def answer(self, kind: Kind, data: bytes) -> None:
        """Leave an answer; where that cannot be done, the network may have brought it."""
        try:
            partial = self._path / f".{kind}-{secrets.token_hex(4)}"
            partial.write_bytes(data)
            os.replace(partial, self._path / f"{partial.name.lstrip('.')}.answer")
        except OSError:
            return

    def answers(self, kind: Kind) -> Sequence[bytes]:
        """All answers of a kind that are there."""
        return [path.read_bytes() for path in sorted(self._path.glob(f"{kind}-*.answer"))]


def by_node(answers: Sequence[bytes]) -> Mapping[str, NodeFacts]:
    """Answers of nodes, each once."""
    told = [msgspec.json.decode(data, type=NodeFacts) for data in answers]
    return {one.node: one for one in sorted(told, key=lambda one: one.node)}


def ipv4_addresses() -> dict[str, str]:
    """IPv4 addresses of this host, by network interface."""
    return {
        name: found.address
        for name, all_ in psutil.net_if_addrs().items()
        for found in all_
        if found.family == socket.AF_INET
    }
