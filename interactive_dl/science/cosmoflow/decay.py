"""The learning rate falls at given epochs, whoever else has changed it before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras


class StepDecay(keras.callbacks.Callback):
    """Multiplies the rate at the beginning of some epochs.

    The factors are those of the peak, as in MLPerf's ``decay_schedule``; they do not multiply.
    What is applied is the ratio of two of them, so that a warm-up and a person's own rate last.

    Args:
        factors: ((epoch, factor), ...), epochs from 0.
    """

    def __init__(self, factors: Sequence[tuple[int, float]]) -> None:
        super().__init__()
        self._factors = dict(factors)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Apply the factor of this epoch, if it has one."""
        if epoch not in self._factors:
            return
        earlier = [before for before in self._factors if before < epoch]
        last = self._factors[max(earlier)] if earlier else 1.0
        optimizer = self.model.optimizer
        rate = float(keras.ops.convert_to_numpy(optimizer.learning_rate))
        optimizer.learning_rate = rate * self._factors[epoch] / last
