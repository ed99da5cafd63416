"""How far a training is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Position:
    """A place between two steps.

    Attributes:
        step: steps finished since the run began.
        epoch: epochs finished.
        batch: steps finished of the epoch after those; 0 between two epochs.
    """

    step: int = 0
    epoch: int = 0
    batch: int = 0
