"""Which samples which rank takes in which step: pure arithmetic, alike on every rank.

Step k of an epoch takes the k-th ``ranks * batch_size`` samples of the epoch's order, and the
ranks share them evenly. So a step's samples do not depend on the number of ranks as long as
``ranks * batch_size`` stays the same: N ranks with batch b train on what one process with batch
N * b trains on.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from interactive_dl.errors import TooFewSamplesError


@dataclass(frozen=True)
class StepPlan:
    """An epoch cut into steps of which every rank takes its share.

    Of the ``samples % (ranks * batch_size)`` samples that are left after the full steps, enough
    for all ranks become one last, smaller step; fewer join the last full step, so that every
    rank has the same number of steps and no step without a sample.

    Args:
        samples: number of samples in an epoch, of all ranks together.
        ranks: number of ranks.
        batch_size: samples per rank in a full step.

    Raises:
        TooFewSamplesError: fewer samples than ranks.
        ValueError: a batch size or a number of ranks below 1.
    """

    samples: int
    ranks: int
    batch_size: int

    def __post_init__(self) -> None:
        if self.ranks < 1 or self.batch_size < 1:
            raise ValueError(
                "`ranks >= 1` and `batch_size >= 1` must hold,"
                f" but got (ranks={self.ranks}, batch_size={self.batch_size})."
            )
        require_enough(self.samples, self.ranks)

    @property
    def step_size(self) -> int:
        """Samples in a full step, of all ranks together."""
        return self.ranks * self.batch_size

    @property
    def steps(self) -> int:
        """Steps per epoch, the same on every rank."""
        full, left = divmod(self.samples, self.step_size)
        return full + (left >= self.ranks)

    def step(self, index: int) -> slice:
        """Positions, in the epoch's order, of the samples of step ``index`` (0 .. steps-1).

        Raises:
            IndexError: there is no such step.
        """
        if not 0 <= index < self.steps:
            raise IndexError(f"An epoch has steps 0 to {self.steps - 1}, but got step {index}.")
        start = index * self.step_size
        is_last = index == self.steps - 1
        return slice(start, self.samples if is_last else start + self.step_size)

    def share(self, index: int, rank: int) -> slice:
        """Positions that ``rank`` takes in step ``index``; the ranks' shares differ by <= 1."""
        whole = self.step(index)
        size, more = divmod(whole.stop - whole.start, self.ranks)
        start = whole.start + rank * size + min(rank, more)
        return slice(start, start + size + (rank < more))


def require_enough(samples: int, ranks: int) -> None:
    """Every rank needs a sample.

    Raises:
        TooFewSamplesError: fewer samples than ranks.
    """
    if samples < ranks:
        raise TooFewSamplesError(
            f"Every rank needs at least one sample, but there are {samples} samples for {ranks}"
            " ranks. Use a larger data set, or fewer engines: %%px --targets 0 runs on one."
        )


def epoch_order(samples: int, seed: int, epoch: int, shuffle: bool = True) -> np.ndarray:
    """The order of the samples in an epoch: int64, shape (samples,), a permutation.

    It depends on the arguments alone, so that all ranks know it without a word, and a resumed
    training goes on as if it had never stopped.
    """
    if not shuffle:
        return np.arange(samples)
    return np.random.default_rng((seed, epoch)).permutation(samples)
