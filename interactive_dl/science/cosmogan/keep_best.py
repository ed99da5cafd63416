"""The networks of the epoch whose maps are the best: adversarial losses do not tell."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from interactive_dl.data import Communicator


class KeepBest(keras.callbacks.Callback):
    """Gives a model the weights of its best epoch when training ends.

    Args:
        current: ``current()``, the ranks that train then; their first judges for all.
        judge: ``judge(model)``, how bad its maps are.
    """

    def __init__(self, current: Callable[[], Communicator], judge: Callable[[Any], float]) -> None:
        super().__init__()
        self._current = current
        self._judge = judge
        self._least = math.inf
        self._weights: list[np.ndarray] = []

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Keep the weights if there were none better."""
        group = self._current()
        own = self._judge(self.model) if group.rank == 0 else math.inf
        badness = group.allgather(own)[0]
        if badness < self._least:
            self._least = badness
            self._weights = self.model.get_weights()

    def on_train_end(self, logs: Any = None) -> None:
        """Go back to the best."""
        if self._weights:
            self.model.set_weights(self._weights)
