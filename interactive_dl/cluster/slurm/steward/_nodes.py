"""Whether the nodes of a job answer."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

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
        clock_s: seconds, any origin.
    """

    places: Mapping[str, Place]
    ask: Callable[[Place], bool] = answers
    clock_s: Callable[[], float] = time.monotonic
    _heard_s: dict[str, float] = field(default_factory=dict)

    def look(self) -> dict[str, float]:
        """Ask all nodes at once; for how many seconds each has been silent."""
        asked_s = self.clock_s()
        with ThreadPoolExecutor(min(_AT_ONCE, len(self.places) or 1)) as askers:
            heard = list(askers.map(self.ask, self.places.values()))
        for node, answered in zip(self.places, heard, strict=True):
            if answered or node not in self._heard_s:
                self._heard_s[node] = asked_s
        now_s = self.clock_s()
        return {
            node: 0.0 if answered else now_s - self._heard_s[node]
            for node, answered in zip(self.places, heard, strict=True)
        }
