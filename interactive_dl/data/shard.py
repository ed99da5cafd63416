"""A rank's part of a data set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from interactive_dl.data.ranks import Communicator
from interactive_dl.data.shards import StepPlan, epoch_order
from interactive_dl.data.sources import Source

if TYPE_CHECKING:
    from interactive_dl.data.batches import Batches


@dataclass(frozen=True)
class Shard:
    """The samples that this rank takes; made by ``Dataset.shard``.

    Attributes:
        source: all samples.
        group: the ranks that share them.
        samples: number of samples of all ranks together.
        seed: of the order in each epoch.
        shuffle: whether there is a new order in each epoch.
    """

    source: Source
    group: Communicator
    samples: int
    seed: int
    shuffle: bool

    def plan(self, batch_size: int) -> StepPlan:
        """How an epoch is cut into steps of ``batch_size`` samples per rank."""
        return StepPlan(self.samples, self.group.size, batch_size)

    def order(self, epoch: int) -> np.ndarray:
        """The epoch's order of all samples, alike on all ranks: int64, shape (samples,)."""
        return epoch_order(self.samples, self.seed, epoch, self.shuffle)

    def batch(self, batch_size: int, readers: int = 0) -> Batches:
        """Batches for ``model.fit``, ``evaluate`` and ``predict``.

        Args:
            batch_size: samples per rank and step. The last step of an epoch is smaller, or up to
                one sample larger, so that no sample is left out and all ranks take equally many
                steps.
            readers: processes that read batches ahead, in the same order, for this rank: for files
                that take long to decode, or whose library lets one thread at a time in (HDF5).
                Each opens the files for itself; a source in memory they would copy. 0: a thread.

        Raises:
            ValueError: a batch size below 1, or fewer than no readers.
        """
        from interactive_dl.data.batches import Batches

        return Batches(self, batch_size, readers=readers)
