"""How far a training is."""

from __future__ import annotations

from dataclasses import dataclass, replace


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

    def after(self, steps: int) -> Position:
        """Some steps further in the same epoch."""
        return replace(self, step=self.step + steps, batch=self.batch + steps)
