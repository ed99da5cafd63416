"""Numbers that all ranks see alike: metrics, moving statistics, throughput."""

from __future__ import annotations

import time
from typing import Any

import keras
import numpy as np

from interactive_dl.engine import _fit_context, _lag
from interactive_dl.engine.group import current


class AverageStatistics(keras.callbacks.Callback):
    """Average moving statistics (batch normalisation) over the ranks, before they are used.

    Each rank's statistics come from its own samples; validation and checkpoints get their mean.
    """

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Average before a validation."""
        average_statistics(self.model)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Average before whatever comes at the end of an epoch, a checkpoint say."""
        average_statistics(self.model)
        _lag.settle(self.model)


class MetricAverage(keras.callbacks.Callback):
    """Replace each epoch's metrics by their mean over the ranks, bit for bit alike on all.

    It stands before callbacks that act on metrics, so that all ranks act alike.
    """

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Average ``logs`` in place."""
        if logs:
            logs.update(current().average({key: float(value) for key, value in logs.items()}))


class Throughput(keras.callbacks.Callback):
    """Add ``samples_per_s`` of all ranks together to each epoch's logs.

    The time is that from the first step's beginning to the last step's end on the slowest rank,
    validation excluded; the samples are those of the training data's ``samples`` (all ranks).
    The first epoch includes the compilation of the step. Other data objects get no figure.
    """

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Start the clock."""
        self._begin_s = self._end_s = time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Note the end of the latest step."""
        self._end_s = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Publish the rate."""
        training = next(iter(_fit_context.data_of(self.model)), None)
        samples = getattr(training, "samples", None)
        if logs is not None and samples is not None:
            slowest_s = max(current().allgather(self._end_s - self._begin_s))
            logs["samples_per_s"] = samples / slowest_s if slowest_s > 0 else 0.0


def average_statistics(model: keras.Model) -> None:
    """Give all ranks the mean of their moving statistics; every rank calls it."""
    group = current()
    for variable in model.non_trainable_variables:
        if keras.backend.is_float_dtype(variable.dtype):
            value = np.asarray(keras.ops.convert_to_numpy(variable.value))
            variable.assign(group.average_array(value))
