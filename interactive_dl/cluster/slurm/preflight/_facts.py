"""What is asked and answered between the host of the notebook and the nodes."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from interactive_dl.cluster.examination._facts import Ended, NodeFacts
from interactive_dl.cluster.examination._line import Kind

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


class Folder:
    """The folder through which both sides may see each other.

    Args:
        path: of it.

    Attributes:
        mark: the file that holds the token.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.mark = path / _MARK

    def ask(self, question: Question) -> None:
        """Leave the question, and a mark that proves that it is this folder."""
        (self._path / _QUESTION).write_bytes(msgspec.json.encode(question))
        self.mark.write_text(question.token)

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
