"""The learning rate falls at given epochs, whoever else has changed it before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras


class StepDecay(keras.callbacks.Callback):
    """Multiplies the rate before some epochs, when the ones before them have ended.

    The factors are those of the peak, as in MLPerf's ``decay_schedule``; they do not multiply.
    What is applied is the ratio of two of them, so that a warm-up and a person's own rate last.
    An epoch ends once, but may begin again where ranks are lost or come.

    Args:
        factors: ((epoch, factor), ...), epochs from 0, ascending, without the first.
    """

    def __init__(self, factors: Sequence[tuple[int, float]]) -> None:
        super().__init__()
        self._factors = dict(factors)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Apply the factor of the next epoch, if it has one."""
        if epoch + 1 not in self._factors:
            return
        earlier = [before for before in self._factors if before <= epoch]
        last = self._factors[max(earlier)] if earlier else 1.0
        optimizer = self.model.optimizer
        rate = float(keras.ops.convert_to_numpy(optimizer.learning_rate))
        optimizer.learning_rate = rate * self._factors[epoch + 1] / last
