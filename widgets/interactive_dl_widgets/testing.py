"""A run that trains nothing, for tests and demonstrations of what shows runs."""

from __future__ import annotations

import itertools
import math
import random
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import numpy as np

from interactive_dl.errors import TelemetryError
from interactive_dl.telemetry import events, spread, steering
from interactive_dl.telemetry.history import History

Callback = Callable[["FakeRun", Sequence[events.Record]], None]

_BATCH = 32
_HOST = socket.gethostname()
_KNOBS = (
    events.KnobState("learning_rate", 1e-3, low=0.0),
    events.KnobState("momentum", 0.9, low=0.0, high=1.0),
    events.KnobState("steps_per_report", 1, kind="int", low=1, high=100),
)


@dataclass(frozen=True)
class Plan:
    """What a ``FakeRun`` pretends to be.

    Attributes:
        ranks: how many.
        epochs: of so many epochs.
        steps_per_epoch: of so many steps.
        step_s: how long a step pretends to take, and takes.
        slow_rank: a rank whose own time is longer than the others'; None for none.
        slowness: by what factor.
        has_baseline: whether the rate of one rank alone is known.
        knobs: what can be changed.
        seed: of the noise.
    """

    ranks: int = 4
    epochs: int = 5
    steps_per_epoch: int = 100
    step_s: float = 0.05
    slow_rank: int | None = None
    slowness: float = 1.3
    has_baseline: bool = True
    knobs: tuple[events.KnobState, ...] = _KNOBS
    seed: int = 0


@dataclass
class FakeAnswer:
    """What a command is answered with; see ``Run``."""

    id: str
    _arrived: threading.Event = field(default_factory=threading.Event)
    _event: events.CommandApplied | events.CommandRefused | None = None

    def result(self, timeout_s: float | None = None) -> events.CommandApplied:
        """Wait for the answer.

        Raises:
            TelemetryError: the command was refused, or there was no answer in time.
        """
        if not self._arrived.wait(timeout_s):
            raise TelemetryError(f"No answer to {self.id} within {timeout_s} s.")
        if isinstance(self._event, events.CommandRefused):
            raise TelemetryError(self._event.reason)
        assert self._event is not None
        return self._event

    def _take(self, event: events.CommandApplied | events.CommandRefused) -> None:
        self._event = event
        self._arrived.set()


class FakeRun:
    """Feeds real records through a real history, with a run's methods to steer it.

    ``with FakeRun(Plan(ranks=2)) as run:`` trains in a thread; without ``with``, nothing happens
    but what ``feed`` is told: then a test says which events come, and when.
    """

    def __init__(self, plan: Plan | None = None, *, name: str = "fake") -> None:
        self.plan = plan or Plan()
        self.name = name
        self.id = events.new_run_id(name)
        self.history = History()
        self.values = {knob.name: knob.value for knob in self.plan.knobs}
        self._seqs = {engine: itertools.count() for engine in range(-1, self.plan.ranks)}
        self._ids = itertools.count(1)
        self._lock = threading.RLock()
        self._callbacks: list[Callback] = []
        self._waiting: list[tuple[FakeAnswer, steering.AnyCommand]] = []
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None

    # -- what a run has ------------------------------------------------------------------------

    @property
    def state(self) -> str:
        """``running``, ``paused``, ``finished`` ..."""
        return self.history.state

    def subscribe(self, callback: Callback) -> Callable[[], None]:
        """Have ``callback(run, records)`` called for whatever comes; gives what ends that."""
        self._callbacks.append(callback)
        return lambda: self._callbacks.remove(callback) if callback in self._callbacks else None

    def set(self, *, wait: bool = True, **values: float) -> Any:
        """Give knobs new values."""
        return self.send(steering.SetKnobs(values), wait=wait)

    def pause(self, *, wait: bool = True) -> Any:
        """Wait after this step."""
        return self.send(steering.Pause(), wait=wait)

    def resume(self, *, wait: bool = True) -> Any:
        """Go on."""
        return self.send(steering.Resume(), wait=wait)

    def stop(self, *, after: Any = "step", wait: bool = True) -> Any:
        """End the training."""
        return self.send(steering.Stop(after=after), wait=wait)

    def checkpoint(self, *, wait: bool = True) -> Any:
        """Pretend to write a checkpoint."""
        return self.send(steering.WriteCheckpoint(), wait=wait)

    def evaluate(self, *, wait: bool = True) -> Any:
        """Pretend to validate."""
        return self.send(steering.Evaluate(), wait=wait)

    def grow(self, *, wait: bool = True) -> Any:
        """Have the lost ranks replaced."""
        return self.send(steering.Grow(), wait=wait)

    def wait(self, timeout_s: float | None = None) -> None:
        """Wait until it is over."""
        if self._thread is not None:
            self._thread.join(timeout_s)

    # -- what a fake has -------------------------------------------------------------------------

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def start(self) -> Self:
        """Train, in a thread."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._train, name="fake run", daemon=True)
            self._thread.start()
        return self

    def close(self) -> None:
        """End the thread, if it runs."""
        self._ending.set()
        self.wait()

    def feed(self, *happened: events.AnyEvent, engine: int = 0) -> None:
        """Have these events happen now."""
        now_s = time.time()
        with self._lock:
            records = [
                events.Record(self.id, engine, next(self._seqs[engine]), now_s, event)
                for event in happened
            ]
            self.history.extend(records)
        for callback in list(self._callbacks):
            callback(self, records)

    def started(self) -> events.Started:
        """How it begins."""
        plan = self.plan
        return events.Started(
            name=self.name,
            engines=tuple(range(plan.ranks)),
            hosts=tuple(_HOST if rank % 2 == 0 else f"{_HOST}-b" for rank in range(plan.ranks)),
            epochs=plan.epochs,
            steps_per_epoch=plan.steps_per_epoch,
            batch_size=_BATCH,
            samples_per_epoch=_BATCH * plan.ranks * plan.steps_per_epoch,
            knobs=plan.knobs,
            baseline_samples_per_s=_BATCH / plan.step_s if plan.has_baseline else None,
        )

    def progress(self, step: int) -> events.Progress:
        """What rank 0 tells after a step; the same for the same plan."""
        plan = self.plan
        chance = random.Random(plan.seed + step)
        loss = 0.25 + 1.6 * math.exp(-step / 120) + chance.gauss(0, 0.03)
        slowest = plan.slowness if plan.slow_rank is not None else 1.0
        own = 0.8 * plan.step_s * np.array([chance.uniform(0.97, 1.03) for _ in range(plan.ranks)])
        if plan.slow_rank is not None:
            own[plan.slow_rank] *= plan.slowness
        step_s = float(own.max()) + 0.1 * plan.step_s
        return events.Progress(
            step=step,
            epoch=step // plan.steps_per_epoch,
            batch=step % plan.steps_per_epoch,
            metrics={"loss": loss, "accuracy": 1 - 0.4 * loss},
            learning_rate=self.values.get("learning_rate"),
            samples_per_s=_BATCH * plan.ranks / (plan.step_s * slowest) * chance.uniform(0.95, 1.0),
            step_time_s=step_s,
            **spread.time_fields(
                {
                    "data_wait_s": 0.2 * own,
                    "compute_s": 0.8 * own,
                    "allreduce_wait_s": step_s - own,
                    "other_s": np.full(plan.ranks, 0.05 * plan.step_s),
                }
            ),
        )

    def send(self, command: steering.AnyCommand, *, wait: bool = True) -> Any:
        """Have a command carried out after the step."""
        answer = FakeAnswer(f"{self.id}/{next(self._ids)}")
        with self._lock:
            if self.history.ended is not None:
                raise TelemetryError(f"Run {self.id} is over: {self.state}.")
            self._waiting.append((answer, command))
        self.feed(events.CommandSent(answer.id, "somebody@" + _HOST, command), engine=-1)
        return answer.result(10.0) if wait else answer

    def _train(self) -> None:
        plan = self.plan
        self.feed(self.started(), events.StateChanged("running"))
        self.feed(events.LogLine("stdout", f"training {self.name} on {plan.ranks} ranks"))
        for step in range(1, plan.epochs * plan.steps_per_epoch + 1):
            if self._ending.wait(plan.step_s):
                return
            self.feed(self.progress(step))
            epoch, batch = divmod(step, plan.steps_per_epoch)
            if batch == 0:
                self._end_epoch(step, epoch)
            stop = self._obey(step)
            while self.state == "paused" and not stop and not self._ending.wait(0.01):
                stop = self._obey(step)
            if stop == "step" or (self._stops_with_epoch and batch == 0):
                self.feed(events.Ended("stopped", "asked to", step, epoch))
                return
        self.feed(events.Ended("finished", "", step, epoch))

    _stops_with_epoch = False

    def _end_epoch(self, step: int, epoch: int) -> None:
        told = self.progress(step).metrics
        loss = told["loss"] or 0.0
        metrics = {**told, "val_loss": loss + 0.06, "val_accuracy": 1 - 0.45 * loss}
        duration_s = self.plan.steps_per_epoch * self.plan.step_s
        self.feed(events.EpochEnded(epoch, step, metrics, duration_s))
        self.feed(events.LogLine("stdout", f"epoch {epoch}: val_loss {loss + 0.06:.4f}"))

    def _obey(self, step: int) -> str:
        """Carry out what was asked for; ``step`` if the training ends now."""
        with self._lock:
            waiting, self._waiting = self._waiting, []
        outcome = ""
        for answer, command in waiting:
            event = self._answer(answer.id, command, step)
            self.feed(event)
            answer._take(event)
            if isinstance(command, steering.Stop):
                self._stops_with_epoch |= command.after == "epoch"
                outcome = command.after if command.after == "step" else outcome
        return outcome

    def _answer(
        self, id: str, command: steering.AnyCommand, step: int
    ) -> events.CommandApplied | events.CommandRefused:
        match command:
            case steering.SetKnobs(values=values):
                return self._turn(id, values, step)
            case steering.Pause():
                self.feed(events.StateChanged("paused"))
            case steering.Resume():
                self.feed(events.StateChanged("running"))
            case steering.Evaluate():
                loss = self.progress(step).metrics["loss"] or 0.0
                self.feed(events.Evaluated(step, {"val_loss": loss + 0.05}))
            case steering.Grow():
                return self._grow(id, step)
            case steering.WriteCheckpoint():
                epoch = step // self.plan.steps_per_epoch
                self.feed(events.CheckpointWritten(step, epoch, f"{self.name}.keras"))
        return events.CommandApplied(id, step)

    def _grow(self, id: str, step: int) -> events.CommandApplied | events.CommandRefused:
        full, groups = self.started(), self.history.groups
        if not groups or len(groups[-1].engines) == len(full.engines):
            return events.CommandRefused(id, f"The run has all {len(full.engines)} ranks.")
        self.feed(events.GroupChanged(full.engines, full.hosts, step, "engines joined"))
        return events.CommandApplied(id, step)

    def _turn(
        self, id: str, values: dict[str, Any], step: int
    ) -> events.CommandApplied | events.CommandRefused:
        limits = {knob.name: knob for knob in self.plan.knobs}
        for name, value in values.items():
            if name not in limits:
                known = ", ".join(limits)
                return events.CommandRefused(id, f"There is no knob {name!r}; there are {known}.")
            low = limits[name].low
            if low is not None and value < low:
                return events.CommandRefused(id, f"{name} must be {low} at least, but got {value}.")
        changes = tuple(
            events.Change(name, self.values[name], value) for name, value in values.items()
        )
        self.values.update(values)
        return events.CommandApplied(id, step, changes)
