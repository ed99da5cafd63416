"""Small messages between engines that nothing connects yet: files in the cluster's folder.

A meeting of several MPI worlds sends a few; once its members are connected, everything else goes
through MPI. Where there is no MPI, engines join a training through them: they wait for one that is
not there yet.
"""

from __future__ import annotations

import itertools
import pickle
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interactive_dl.telemetry import exits

_NUMBERS = itertools.count()


@dataclass(frozen=True)
class Post:
    """``Talk`` through files.

    Attributes:
        folder: the cluster's folder, which only its user can read.
        me: this engine's id.
    """

    folder: Path
    me: int

    def say(self, engine: int, message: Any) -> None:
        """Leave a message; nobody waits for it to be read."""
        box = self._box(engine)
        box.mkdir(parents=True, exist_ok=True)
        letter = box / f"{self.me}-{next(_NUMBERS):09d}"
        partial = box / f".{letter.name}"
        partial.write_bytes(pickle.dumps(message))
        partial.rename(letter)

    def hear(self, engine: int) -> Iterator[Any]:
        """All messages of ``engine`` that have arrived, in their order."""
        for letter in sorted(self._box(self.me).glob(f"{engine}-*")):
            message = pickle.loads(letter.read_bytes())
            letter.unlink()
            yield message

    def dead(self, engines: Sequence[int]) -> list[int]:
        """Those of ``engines`` whose watchers have seen them end."""
        ended = exits.exits(self.folder)
        return [engine for engine in engines if engine in ended]

    def _box(self, engine: int) -> Path:
        return self.folder / "post" / str(engine)
