"""What the group tells the outside, and hears from it, through rank 0."""

from __future__ import annotations

import importlib.metadata
import math
import os
import platform
import time
import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import keras

from interactive_dl.engine import _program
from interactive_dl.engine._fit_context import data_of
from interactive_dl.engine._position import Position
from interactive_dl.engine._reports import Report
from interactive_dl.engine.group import Group
from interactive_dl.engine.knobs import Knob
from interactive_dl.errors import InteractiveDLWarning, TelemetryError
from interactive_dl.telemetry import events, publisher, spread
from interactive_dl.telemetry.steering import Sent

_CLOSE_TIMEOUT_S = 2.0
_RESOURCES_EVERY_S = 2.0
_VARIABLES = (
    "KERAS_BACKEND",
    "OMP_NUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
)
_PACKAGES = ("interactive-dl", "keras", "tensorflow-cpu", "tensorflow", "torch", "horovod")


class Told:
    """One run's line to the outside; ranks other than 0 have none, and say nothing.

    Args:
        run: the run's id.
        line: rank 0's.
    """

    def __init__(self, run: str, line: publisher.Publisher | None) -> None:
        self.run = run
        self._line = line
        self._commands: list[Sent] = []
        self._resources_told_s = -_RESOURCES_EVERY_S

    def tell(self, event: events.Event) -> None:
        """Say something, without waiting."""
        if self._line is not None:
            self._line.publish(event)

    def tell_report(self, report: Report, samples_per_step: float | None) -> None:
        """Say what all ranks measured."""
        if self._line is None:
            return
        slowest_s = report.step_s
        rate = samples_per_step / slowest_s if samples_per_step and slowest_s > 0 else None
        self.tell(
            events.Progress(
                step=report.position.step,
                epoch=report.position.epoch,
                batch=report.position.batch,
                metrics=report.metrics,
                learning_rate=report.learning_rate,
                samples_per_s=rate,
                step_time_s=slowest_s,
                **spread.time_fields(report.times),
            )
        )
        if time.monotonic() - self._resources_told_s >= _RESOURCES_EVERY_S:
            self._resources_told_s = time.monotonic()
            self.tell(spread.resources(report.resources))

    def hear(self, commands: Iterable[Sent]) -> None:
        """Take commands that come from elsewhere than the line."""
        self._commands += commands

    def look_for_commands(self) -> bool:
        """Whether commands have come that nobody has taken yet."""
        if self._line is not None:
            self._commands += self._line.commands()
        return bool(self._commands)

    def wait_for_commands(self, timeout_s: float) -> None:
        """Wait until a command is there, on rank 0; the others return at once."""
        if self._line is not None and not self.look_for_commands():
            self._line.wait_for_command(timeout_s)

    def take_commands(self) -> list[Sent]:
        """Those that have come, in their order; none on ranks other than 0."""
        self.look_for_commands()
        taken, self._commands = self._commands, []
        return taken

    def move_to(self, group: Group) -> None:
        """Have rank 0 of ``group`` speak for the run from now on, if it finds somebody to speak to:
        a training never waits for its audience.
        """
        if group.rank != 0 or self._line is not None:
            return
        try:
            self._line = publisher.open(self.run, engine=group.engines[0])
        except TelemetryError as error:
            warnings.warn(f"The run goes on unseen: {error}", InteractiveDLWarning, stacklevel=2)

    def close(self, ended: events.Ended) -> None:
        """Say how the run ended and hang up; commands that came too late are refused."""
        if self._line is None:
            return
        for sent in self.take_commands():
            self.tell(events.CommandRefused(id=sent.id, reason="The training had ended."))
        self.tell(ended)
        self._line.close(_CLOSE_TIMEOUT_S)
        self._line = None


def open(group: Group, name: str, started: Callable[[], events.Started]) -> Told:
    """Begin a run: rank 0 calls the recorder, or opens a journal of its own.

    Raises:
        TelemetryError: that failed. On every rank.
    """
    run = group.broadcast(events.new_run_id(name))
    line, problem = _dial(group, run) if group.rank == 0 else (None, None)
    problem = group.broadcast(problem)
    if problem is not None:
        raise problem
    told = Told(run, line)
    if line is not None:
        told.tell(started())
    return told


def _dial(group: Group, run: str) -> tuple[publisher.Publisher | None, Exception | None]:
    try:
        return publisher.open(run, engine=group.engines[0]), None
    except TelemetryError as error:
        return None, error


def samples_per_step(model: keras.Model, group: Group) -> float | None:
    """Samples of a full step, of all ranks together; None where the data does not tell."""
    training = next(iter(data_of(model)), None)
    batch_size = getattr(training, "batch_size", None)
    return None if batch_size is None else float(batch_size * group.size)


def started(
    name: str,
    model: keras.Model,
    group: Group,
    *,
    position: Position,
    fit_parameters: Mapping[str, Any],
    parameters: Mapping[str, Any],
    knobs: Mapping[str, Knob],
    ordinal: int,
    resumes_from: str,
) -> events.Started:
    """All that is known of a run when it begins."""
    training = next(iter(data_of(model)), None)
    return events.Started(
        name=name,
        engines=group.engines,
        hosts=group.hosts,
        epochs=fit_parameters["epochs"],
        steps_per_epoch=fit_parameters.get("steps"),
        first_epoch=position.epoch,
        first_step=position.step,
        samples_per_epoch=getattr(training, "samples", None),
        batch_size=getattr(training, "batch_size", None),
        parameters={**_parameters_of(model), **parameters},
        knobs=knob_states(knobs.values()),
        versions=_versions(),
        source=_program.source(),
        environment={name: os.environ[name] for name in _VARIABLES if name in os.environ},
        ordinal=ordinal,
        resumes_from=resumes_from,
    )


def knob_states(knobs: Iterable[Knob]) -> tuple[events.KnobState, ...]:
    """Where the knobs stand now, and how far they go."""
    return tuple(
        events.KnobState(
            name=knob.name,
            value=knob.get(),
            kind="int" if knob.integer else "float",
            low=knob.low,
            high=knob.high,
            needs="retrace" if knob.needs_retrace else "variable",
        )
        for knob in knobs
    )


def _parameters_of(model: keras.Model) -> dict[str, Any]:
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
    return {
        "optimizer": type(optimizer).__name__,
        "loss": model.loss if isinstance(model.loss, str) else type(model.loss).__name__,
        "model": model.name,
        "weights": sum(math.prod(variable.shape) for variable in model.trainable_variables),
    }


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
