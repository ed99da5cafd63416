"""When the picture of a run that a notebook keeps is taken anew."""

from __future__ import annotations

import math
from dataclasses import dataclass

EVERY_S = 300.0
"""A picture is some 1.5 MB that go to every page, which halts for a moment: not more often."""
FIRST_S = 10.0
"""Of what moves the first one is not taken while people look whether their view comes up."""

_MOVING = ("starting", "running", "regrouping")


@dataclass(frozen=True)
class Taken:
    """The latest picture.

    Attributes:
        state: the run's, when it was taken; empty before the first.
        time_s: when that was, by any clock.
    """

    state: str = ""
    time_s: float = -math.inf

    @classmethod
    def begin(cls, now_s: float) -> Taken:
        """None yet, of a view that opens now."""
        return cls("", now_s + FIRST_S - EVERY_S)

    def is_outdated(self, state: str, now_s: float) -> bool:
        """Whether to take another: now and then while the run moves, and when it comes to rest."""
        if state in _MOVING:
            return now_s - self.time_s >= EVERY_S
        return state != self.state
