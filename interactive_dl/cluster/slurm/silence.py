"""Whether nodes answer."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

_ANSWER_S = 1.0
_AT_ONCE = 64

Place = tuple[str, int]


def answers(place: Place) -> bool:
    """Whether a node's slurmd can be reached."""
    try:
        socket.create_connection(place, timeout=_ANSWER_S).close()
    except OSError:
        return False
    return True


@dataclass
class Silence:
    """Since when nodes have not answered.

    Attributes:
        places: of the nodes that are asked, by name.
        ask: whether a node answers.
        seek: tells the places, where they are not known yet.
        clock_s: seconds, any origin.
        known: what the latest look told.
    """

    places: Mapping[str, Any]
    ask: Callable[[Any], bool] = answers
    clock_s: Callable[[], float] = time.monotonic
    seek: Callable[[], Mapping[str, Any]] | None = None
    known: Mapping[str, float] = field(default_factory=dict, init=False)
    _heard_s: dict[str, float] = field(default_factory=dict)
    _answered: set[str] = field(default_factory=set, init=False)
    _looking: threading.Lock = field(default_factory=threading.Lock, init=False)

    def find(self) -> None:
        """Have places, where somebody can tell them; takes as long as that needs."""
        if not self.places and self.seek is not None:
            self.places = self.seek()

    def longest_s(self) -> float:
        """Ask all nodes; for how many seconds one has been silent that had answered before.

        Of one that never has, a firewall may keep the calls.
        """
        told = self.look()
        return max((told[node] for node in self._answered), default=0.0)

    def look(self) -> Mapping[str, float]:
        """Ask all nodes at once; for how many seconds each has been silent.

        Threads look one after the other: what was found first is never known last.
        """
        with self._looking:
            self.known = self._look()
            return self.known

    def _look(self) -> Mapping[str, float]:
        asked_s = self.clock_s()
        with ThreadPoolExecutor(min(_AT_ONCE, len(self.places) or 1)) as askers:
            heard = list(askers.map(self.ask, self.places.values()))
        for node, answered in zip(self.places, heard, strict=True):
            if answered or node not in self._heard_s:
                self._heard_s[node] = asked_s
            if answered:
                self._answered.add(node)
        now_s = self.clock_s()
        return {
            node: 0.0 if answered else now_s - self._heard_s[node]
            for node, answered in zip(self.places, heard, strict=True)
        }
