"""Carries commands out on one rank; every rank gets the same ones after the same step."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras

from interactive_dl.engine import _evaluation
from interactive_dl.engine import knobs as _knobs
from interactive_dl.engine._fit_context import context_of
from interactive_dl.engine._position import Position
from interactive_dl.engine.group import Group
from interactive_dl.engine.knobs import ALL_DROPOUT, Knob
from interactive_dl.telemetry import events, steering
from interactive_dl.telemetry.steering import Sent


class Steersman:
    """What a training does with commands.

    Args:
        model: the model that trains.
        knobs: what can be set, by name.
        checkpoint: writes one, returns where; None where the run has no checkpoints.

    Attributes:
        is_paused: whether the training is to wait.
        stops_now: whether it is to end after this step.
        stops_after_epoch: whether it is to end with this epoch.
        stopped_by: who stopped it and how; empty while nobody has.
    """

    def __init__(
        self,
        model: keras.Model,
        knobs: Mapping[str, Knob],
        *,
        checkpoint: Callable[[], Path] | None,
    ) -> None:
        self.knobs = knobs
        self.is_paused = self.stops_now = self.stops_after_epoch = False
        self.stopped_by = ""
        self._carried_out = 0
        self._turned: dict[str, float] = {}
        self._model = model
        self._checkpoint = checkpoint

    def agree(self, group: Group) -> None:
        """Take over what a rank of ``group`` has carried out that this one has not.

        A rank may have died while the others heard of a command: some then know of it, some do not.
        An engine that joins knows of none.
        """
        mine = _Course(
            self._carried_out,
            {name: knob.get() for name, knob in self.knobs.items()},
            (self.is_paused, self.stops_now, self.stops_after_epoch, self.stopped_by),
            self._turned,
        )
        course = max(group.allgather(mine), key=lambda one: one.carried_out)
        if course.carried_out == self._carried_out:
            return
        self._carried_out, self._turned = course.carried_out, course.turned
        self.is_paused, self.stops_now, self.stops_after_epoch, self.stopped_by = course.orders
        differing = {k: v for k, v in course.values.items() if v != mine.values[k]}
        differing.pop(ALL_DROPOUT, None)  # the mean of the single layers' rates
        self._turn(differing)

    def turn_again(self) -> None:
        """Set again what people have set: a checkpoint may be older."""
        self._turn(self._turned)

    def carry_out(
        self, sent: Sent, position: Position, *, at_epoch_end: bool
    ) -> Iterator[events.Event]:
        """Do what a command says.

        Yields:
            What came of it: ``CommandApplied``, or ``CommandRefused`` where it cannot be done; then
            nothing has changed.
        """
        try:
            results = list(self._do(sent, position))
        except _Refused as refused:
            yield events.CommandRefused(id=sent.id, reason=str(refused))
            return
        self._carried_out += 1
        changes = tuple(one for one in results if isinstance(one, events.Change))
        yield events.CommandApplied(
            id=sent.id, step=position.step, changes=changes, at_epoch_end=at_epoch_end
        )
        yield from (one for one in results if not isinstance(one, events.Change))

    def _do(self, sent: Sent, position: Position) -> Iterator[Any]:
        match sent.command:
            case steering.SetKnobs(values=values):
                yield from self._set(values)
            case steering.Pause():
                self.is_paused = True
            case steering.Resume():
                self.is_paused = False
            case steering.Stop(after=after):
                self.is_paused = False
                self.stops_now |= after == "step"
                self.stops_after_epoch |= after == "epoch"
                self.stopped_by = f"by {sent.who}, after the {after}"
            case steering.Vacate():
                self.is_paused = False
                self.stops_now = True
                self.stopped_by = f"by {sent.who}"
            case steering.WriteCheckpoint():
                yield self._write_checkpoint(position)
            case steering.Evaluate():
                yield self._evaluate(position)
            case other:
                raise _Refused(f"This run cannot carry out {type(other).__name__}.")

    def _set(self, values: Mapping[str, Any]) -> Iterator[events.Change]:
        try:
            checked = _knobs.check(self.knobs, values)
        except ValueError as error:
            raise _Refused(str(error)) from error
        before = {name: self.knobs[name].get() for name in checked}
        self._turn(checked)
        self._turned = {**self._turned, **checked}
        for name, old in before.items():
            yield events.Change(name=name, old=old, new=self.knobs[name].get())

    def _turn(self, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self.knobs[name].set(value)
        if "learning_rate" in values:
            context_of(self._model).is_rate_steered = True
        if any(self.knobs[name].needs_retrace for name in values):
            self._model.make_train_function(force=True)

    def _write_checkpoint(self, position: Position) -> events.CheckpointWritten:
        if self._checkpoint is None:
            raise _Refused(
                "The run has no checkpoint file."
                ' Give it one: engine.callbacks(name, checkpoint="name.keras").'
            )
        path = self._checkpoint()
        return events.CheckpointWritten(step=position.step, epoch=position.epoch, path=str(path))

    def _evaluate(self, position: Position) -> events.Evaluated:
        if not _evaluation.has_data(self._model):
            raise _Refused("The run has no validation data: model.fit(..., validation_data=val).")
        return events.Evaluated(step=position.step, metrics=_evaluation.evaluate(self._model))


@dataclass(frozen=True)
class _Course:
    """What a rank's commands have led to."""

    carried_out: int
    values: dict[str, float]
    orders: tuple[bool, bool, bool, str]
    turned: dict[str, float]


class _Refused(Exception):
    """A command that cannot be carried out; nothing has changed."""
