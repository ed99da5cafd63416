"""What belongs to one running ``fit`` of a model, and ends with it, however it ends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import keras

from interactive_dl.data.batches import Batches
from interactive_dl.engine import _phases
from interactive_dl.engine._interrupt import Signals
from interactive_dl.engine._position import Position

_ATTRIBUTE = "_idl_fit_context"


@dataclass
class FitContext:
    """One running ``fit``.

    Attributes:
        data: its data objects: training, then validation.
        exits: what is to happen when it ends; they see the exception that it ends with.
        begin: where it goes on, if it resumes an earlier one.
        position: how far it is.
        rate_factor: by what changes of the group have changed the learning rate.
        restarts: how often it has begun again in another group.
        goes_back: whether it then goes on from its checkpoint, not from what is in memory.
        has_gone_back: whether it last began there.
        metrics: sums of the epoch's metrics before ``begin``, by rank; None at an epoch's start.
        signals: interrupts since it began, where a callback of ours looks after them.
        is_rate_steered: whether a person has set the learning rate.
    """

    data: tuple[Any, ...]
    exits: ExitStack = field(default_factory=ExitStack)
    begin: Position = field(default_factory=Position)
    position: Position = field(default_factory=Position)
    rate_factor: float = 1.0
    restarts: int = 0
    goes_back: bool = False
    has_gone_back: bool = False
    metrics: list[list[Any]] | None = None
    signals: Signals = field(default_factory=Signals)
    is_rate_steered: bool = False
    _arrived_before: int | None = None

    def begin_call(self, model: keras.Model) -> None:
        """Keras is about to call the compiled function, which may do several steps."""
        if model.steps_per_execution > 1:
            self._arrived_before = _phases.clock().arrived

    def end_call(self, steps: int) -> None:
        """Count the steps that the function has done: up to ``steps``, fewer where the data ends
        within.
        """
        self.position = self.position.after(self._arrived() or steps)
        self._arrived_before = None

    def abandon_call(self) -> None:
        """Count the steps of a call that has failed; the one whose batch came last is not done."""
        self.position = self.position.after(max(0, self._arrived() - 1))
        self._arrived_before = None

    def _arrived(self) -> int:
        """Batches that came to the call that is under way; 0 where it does one step, or the model
        was compiled elsewhere.
        """
        before = self._arrived_before
        return 0 if before is None else _phases.clock().arrived - before

    def steps_left(self, steps_per_epoch: int | None) -> int | None:
        """Steps that are left of the epoch that has begun; None where its data does not tell."""
        whole = steps_per_epoch
        if self.position.epoch == self.begin.epoch and isinstance(self.data[0], Batches):
            whole = self.data[0].steps_of(self.position.epoch)
        done = self.position.batch - self.batches_before(self.position.epoch)
        return None if whole is None else max(0, whole - done)

    def coming_steps(self, model: keras.Model, steps_per_epoch: int | None) -> range:
        """Numbers of the steps that the next call of the compiled function does, as far as is
        known.
        """
        first, left = self.position.step + 1, self.steps_left(steps_per_epoch)
        count = model.steps_per_execution
        return range(first, first + (min(count, left) if left else count))

    def batches_before(self, epoch: int) -> int:
        """Steps of ``epoch`` (from 0) that were done before this ``fit``."""
        return self.begin.batch if epoch == self.begin.epoch else 0

    def is_whole(self, steps_per_epoch: int | None) -> bool:
        """Whether all steps of the epoch that has begun are done."""
        return not self.steps_left(steps_per_epoch)

    def samples_before(self) -> int:
        """Samples of the epoch that has begun, of all ranks, that are done with; 0 where the data
        cannot go on within an epoch.
        """
        training = self.data[0]
        if not self.position.batch or not isinstance(training, Batches):
            return 0
        done = self.position.batch - self.batches_before(self.position.epoch)
        return training.samples_before(self.position.epoch, done)


@contextmanager
def entered(model: keras.Model, data: tuple[Any, ...]) -> Iterator[FitContext]:
    """Make a context that ``context_of`` finds while the body runs."""
    context = FitContext(data)
    object.__setattr__(model, _ATTRIBUTE, context)
    try:
        with context.exits:
            yield context
    finally:
        object.__delattr__(model, _ATTRIBUTE)


def context_of(model: keras.Model) -> FitContext:
    """The context of the ``fit`` that runs on ``model``.

    Raises:
        AttributeError: none runs.
    """
    context: FitContext = getattr(model, _ATTRIBUTE)
    return context


def data_of(model: keras.Model) -> tuple[Any, ...]:
    """The data objects of the running ``fit``: training, then validation; none outside of one."""
    context: FitContext | None = getattr(model, _ATTRIBUTE, None)
    return () if context is None else context.data


def batches_before(model: keras.Model, epoch: int) -> int:
    """Steps of ``epoch`` (from 0) that were done before the running ``fit``; 0 outside of one."""
    context: FitContext | None = getattr(model, _ATTRIBUTE, None)
    return 0 if context is None else context.batches_before(epoch)


def rate_factor(model: keras.Model) -> float:
    """By what changes of the group have changed the learning rate of the running ``fit``."""
    context: FitContext | None = getattr(model, _ATTRIBUTE, None)
    return 1.0 if context is None else context.rate_factor


def is_rate_steered(model: keras.Model) -> bool:
    """Whether a person has set the learning rate of the running ``fit``."""
    context: FitContext | None = getattr(model, _ATTRIBUTE, None)
    return context is not None and context.is_rate_steered
