"""Batches as Keras takes them. The one module of this room that imports Keras."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

# Keras's public PyDataset would do but for one thing: `fit` shuffles its batches with Python's
# global generator unless told shuffle=False, so that ranks would mix steps and resumed trainings
# take another order. An adapter is taken by `fit`, `evaluate` and `predict` as it is.
from keras.src.trainers.data_adapters import data_adapter_utils
from keras.src.trainers.data_adapters.data_adapter import DataAdapter

from interactive_dl.data.ahead import read_ahead
from interactive_dl.data.ranks import Communicator
from interactive_dl.data.readers import Readers
from interactive_dl.data.reading import Batch, Reading
from interactive_dl.data.shard import Shard
from interactive_dl.data.shards import StepPlan


@dataclass(frozen=True)
class Begun:
    """An epoch of which some samples have been trained on: ``samples`` of ``epoch`` (from 0)."""

    epoch: int = 0
    samples: int = 0


class Batches(DataAdapter):
    """This rank's batches, epoch after epoch: ``model.fit(train, validation_data=val)``.

    Iterating gives the ``(x, y)`` or ``(x, y, weight)`` of each step of the current epoch, reading
    one ahead in a thread, or several in ``readers``, processes that stay from one pass to the next
    until these batches are forgotten, or a pass is left before its end. ``batches[step]`` gives one
    of them. ``fit`` goes through the epochs by itself; the callbacks of ``engine.callbacks`` also
    tell it the number of each epoch, which makes a resumed training go on in the order of an
    uninterrupted one. In a loop of your own call ``set_epoch`` before each epoch.

    ``fit`` has no say in the order here (its ``shuffle``) nor in the weights (its
    ``class_weight``): use ``shard(shuffle=...)`` and ``data.open(..., weight=...)``.
    """

    def __init__(
        self,
        shard: Shard,
        batch_size: int,
        transform: Callable[..., Batch] | None = None,
        readers: int = 0,
    ) -> None:
        if readers < 0:
            raise ValueError(f"`readers >= 0` must hold, but got (readers={readers}).")
        self.shard = shard
        self.plan = shard.plan(batch_size)
        self.readers = readers
        self._transform = transform
        self._idle: list[Readers] = []
        # Keras ends an epoch that never was before the first one (EpochIterator.reset)
        self._ended_epochs = -1
        self._begun = Begun()

    @property
    def steps(self) -> int:
        """Steps per epoch, the same on every rank."""
        return self.plan.steps

    @property
    def samples(self) -> int:
        """Samples per epoch, of all ranks together."""
        return self.plan.samples

    @property
    def batch_size(self) -> int:
        """Samples per rank in a full step."""
        return self.plan.batch_size

    @property
    def group(self) -> Communicator:
        """The ranks that share the samples."""
        return self.shard.group

    @property
    def epoch(self) -> int:
        """The current epoch, from 0."""
        return max(self._ended_epochs, 0)

    def set_epoch(self, epoch: int) -> None:
        """Go to an epoch (from 0): the next pass over the batches has its order."""
        self._ended_epochs = epoch

    def begin_within(self, epoch: int, samples: int) -> None:
        """Leave out what was trained on before: the first ``samples`` of ``epoch`` (from 0).

        The ranks share what is left of that epoch; they need not be as many as before. Other
        epochs are whole.

        Raises:
            TooFewSamplesError: fewer samples are left than there are ranks.
        """
        begun = Begun(epoch, samples)
        self._plan_of(begun)
        self._begun = begun
        self.set_epoch(epoch)

    def adopt(self, group: Communicator, batch_size: int | None = None) -> None:
        """Share the samples among other ranks from the next pass on.

        Args:
            group: the ranks.
            batch_size: samples per rank and step; by default as before.

        Raises:
            TooFewSamplesError: fewer samples than ranks.
        """
        shard = replace(self.shard, group=group)
        self.plan = shard.plan(batch_size or self.batch_size)
        self.shard = shard

    def steps_of(self, epoch: int) -> int:
        """Steps of ``epoch`` (from 0); fewer than ``steps`` in one that was begun before."""
        return self._plan(epoch).steps

    def samples_before(self, epoch: int, step: int) -> int:
        """Samples of ``epoch`` (from 0), of all ranks, that its first ``step`` steps have used.

        Steps of an epoch that was begun before are counted from there.
        """
        before = self._begun.samples if epoch == self._begun.epoch else 0
        plan = self._plan(epoch)
        return before + (plan.step(step - 1).stop if step else 0)

    def map(self, function: Callable[..., Batch]) -> Batches:
        """The same batches, each passed through ``function(x, y)`` (or ``(x, y, weight)``).

        It runs where batches are read, and returns a tuple again.
        """
        earlier = self._transform

        def both(*batch: np.ndarray) -> Batch:
            return function(*(batch if earlier is None else earlier(*batch)))

        mapped = Batches(self.shard, self.batch_size, both, self.readers)
        mapped._begun = self._begun
        return mapped

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, step: int) -> Batch:
        plan, order = self._plan(self.epoch), self._order(self.epoch)
        return self._reading(order[plan.share(step, self.group.rank)])

    def __iter__(self) -> Iterator[Batch]:
        # A pass keeps the order it began with, whatever happens to the epoch's number meanwhile
        plan, order = self._plan(self.epoch), self._order(self.epoch)
        rank = self.group.rank
        keys = (order[plan.share(step, rank)] for step in range(plan.steps))
        return self._read_beside(keys) if self.readers else read_ahead(self._reading, keys)

    def _read_beside(self, keys: Iterable[np.ndarray]) -> Iterator[Batch]:
        """A pass by the readers; one pass at a time has them, another one its own."""
        readers = self._idle.pop() if self._idle else Readers(self._reading, self.readers)
        try:
            yield from readers.ahead(keys)
        except BaseException:
            readers.end()
            raise
        self._idle.append(readers)

    def _plan(self, epoch: int) -> StepPlan:
        """How what is to be done of an epoch is cut into steps."""
        return self._plan_of(self._begun) if epoch == self._begun.epoch else self.plan

    def _plan_of(self, begun: Begun) -> StepPlan:
        return replace(self.plan, samples=self.samples - begun.samples)

    def _order(self, epoch: int) -> np.ndarray:
        order = self.shard.order(epoch)
        return order[self._begun.samples :] if epoch == self._begun.epoch else order

    @property
    def _reading(self) -> Reading:
        return Reading(self.shard.source, self._transform)

    # What Keras asks of an adapter; its iterators are made before a pass and started in it.

    @property
    def num_batches(self) -> int:
        """Steps per epoch."""
        return self.steps

    def on_epoch_end(self) -> None:
        """Go to the next epoch."""
        self._ended_epochs += 1

    def get_numpy_iterator(self) -> Any:
        """A pass of NumPy arrays."""
        return data_adapter_utils.get_numpy_iterator(self._later())

    def get_jax_iterator(self) -> Any:
        """A pass of JAX arrays."""
        return data_adapter_utils.get_jax_iterator(self._later())

    def get_torch_dataloader(self) -> Any:
        """A ``DataLoader`` of one pass."""
        return data_adapter_utils.get_torch_dataloader(self._later())

    def get_tf_dataset(self) -> Any:
        """A ``tf.data.Dataset``; each iterator of it is a pass."""
        import tensorflow as tf

        signature = data_adapter_utils.get_tensor_spec([self[0]])
        dataset = tf.data.Dataset.from_generator(self._later, output_signature=signature)
        return untuned(dataset.prefetch(1))

    def _later(self) -> Iterator[Batch]:
        yield from self


def untuned(dataset: Any) -> Any:
    """The same ``tf.data.Dataset`` without TensorFlow's tuning of its threads and buffers.

    The tuner of a finished pass sleeps on before the next pass may begin (seen with TensorFlow
    2.21): twice as long each time it wakes, so that after an epoch of 3 s the process stood still
    for 2 s, and for up to a minute after longer ones.
    """
    import tensorflow as tf

    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)
