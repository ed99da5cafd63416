"""Keeps the position of a running training."""

from __future__ import annotations

from typing import Any

import keras

from interactive_dl.engine._fit_context import context_of
from interactive_dl.engine._position import Position


class KeepPosition(keras.callbacks.Callback):
    """Counts; it stands before all callbacks that talk to other ranks.

    A rank may die while they do: then the position must be that of the weights already.
    """

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Begin where an earlier training ended, if there is one."""
        self._context = context_of(self.model)

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """An epoch begins, or goes on."""
        at = self._context.position
        self._context.position = Position(at.step, epoch, self._context.batches_before(epoch))

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Note the first step of this call; the compiled function may do several."""
        self._first = batch
        self._context.begin_call(self.model)

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Steps are done."""
        self._context.end_call(batch + 1 - self._first)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """The epoch is done, unless the training was stopped within."""
        if self._context.is_whole(self.params.get("steps")):
            self._context.position = Position(self._context.position.step, epoch + 1, 0)
