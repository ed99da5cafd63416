"""What the configurations of all cases have; each case adds what its network and its data need."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Training:
    """How a network is trained.

    Attributes:
        learning_rate: for one rank.
        warmup_epochs: over which the rate scaled to all ranks is reached (weak scaling).
        batch_size: samples per step; of each rank where the scaling is weak.
        epochs: passes over the training samples.
        decay: ((epoch, factor), ...): from this epoch (from 0) on, the rate is this factor times
            what it was after the warm-up; factors do not multiply.
    """

    learning_rate: float
    warmup_epochs: float
    batch_size: int
    epochs: int
    decay: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Generated(Training):
    """And on how many samples of a generator's, or of the original's files.

    Attributes:
        train, val, test: numbers of samples.
    """

    train: int
    val: int
    test: int
