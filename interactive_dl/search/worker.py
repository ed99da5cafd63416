"""Trying a trial on an engine; the search's driver sends ``run`` there through a view."""

from __future__ import annotations

import inspect
import math
import os
import random
import resource
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TextIO

import cloudpickle  # type: ignore[import-untyped]
import msgspec

from interactive_dl.errors import PeerFailedError
from interactive_dl.search import words
from interactive_dl.search.trial import Trial
from interactive_dl.telemetry import _address, events
from interactive_dl.telemetry.publisher import RecorderPublisher
from interactive_dl.telemetry.steering import Request

OUTPUT = "output.txt"
_GATHER_S = 0.002
_LISTEN_S = 1.0
_GRACE_S = 1.0
_CLOSE_S = 2.0

Objective = Callable[..., Any]


def run(data: bytes, objective: bytes) -> None:
    """Try a trial; all that comes of it is told to the search.

    A task that came here before, or was withdrawn before it came, is not tried.

    Args:
        data: a ``words.Task``, encoded by ``encode``.
        objective: the pickled function.
    """
    task = msgspec.msgpack.decode(data, type=words.Task)
    line = _LINES.line_of(task.search)
    if not line.takes(task.trial, task.attempt):
        return
    trial = Trial(task, line.tell)
    with line.hosting(trial):
        line.tell(words.Began(task.trial, task.attempt))
        returned = _try(trial, task, objective)
    line.tell(returned)


def encode(task: words.Task) -> bytes:
    """A task as ``run`` takes it."""
    return msgspec.msgpack.encode(task)


def _try(trial: Trial, task: words.Task, pickled: bytes) -> words.Returned:
    outcome, value, why = _outcome(trial, task, pickled)
    # One that did not know that it was to leave came to its end, or to an error, by itself.
    if trial.reason and trial.has_heeded and outcome != "peer failed":
        return words.Returned(task.trial, task.attempt, "left", trial.reason, value, why)
    return words.Returned(task.trial, task.attempt, outcome, "", value, why)


def _outcome(
    trial: Trial, task: words.Task, pickled: bytes
) -> tuple[words.Outcome, float | None, str]:
    with _printed_into(trial), _limited(task.memory_bytes):
        try:
            _settle(trial, task)
            objective: Objective = cloudpickle.loads(pickled)
            return "finished", _value(trial, _call(objective, trial), task.metric), ""
        except PeerFailedError as error:
            return "peer failed", None, str(error)
        except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - whatever a person's code does
            is_struck = isinstance(error, KeyboardInterrupt) and bool(trial.reason)
            trial.has_heeded |= is_struck
            if not is_struck:
                traceback.print_exc()
            return "failed", None, f"{type(error).__name__}: {error}"


def _settle(trial: Trial, task: words.Task) -> None:
    """Be in no group with others than this trial's: nobody would answer its collectives."""
    random.seed(task.seed)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(task.seed % 2**32)
    from interactive_dl.engine import group

    is_elsewhere = group.is_active() and group.current().engines != task.engines
    if len(task.engines) > 1 or is_elsewhere:
        trial.form_group()


def _call(objective: Objective, trial: Trial) -> Any:
    """In either form: of one ``trial``, or of keyword arguments."""
    parameters = inspect.signature(objective).parameters
    if list(parameters) == ["trial"]:
        return objective(trial)
    if "callbacks" in parameters:
        return objective(**trial.params, callbacks=trial.callbacks())
    return objective(**trial.params)


def _value(trial: Trial, returned: Any, metric: str) -> float | None:
    """What the trial is judged by; a history that was not reported yet is reported now."""
    history = getattr(returned, "history", returned)
    if isinstance(history, Mapping):
        if not trial.has_reported:
            _report_history(trial, history)
        column = history.get(metric)
        returned = column[-1] if column is not None and len(column) else None
    if returned is None:
        return None
    number = float(returned)
    return number if math.isfinite(number) else None


def _report_history(trial: Trial, history: Mapping[str, Any]) -> None:
    columns = {name: list(values) for name, values in history.items() if hasattr(values, "__len__")}
    for step in range(max((len(column) for column in columns.values()), default=0)):
        row = {name: column[step] for name, column in columns.items() if step < len(column)}
        trial.report(step + 1, **row)


@contextmanager
def _printed_into(trial: Trial) -> Iterator[None]:
    """Have what this process prints written into the trial's file, too; few trials need one."""
    from interactive_dl.engine import _printed

    file: TextIO | None = None

    def write(line: events.LogLine) -> None:
        nonlocal file
        if file is None:
            path = trial.folder / OUTPUT
            file = files.enter_context(path.open("a", buffering=1, encoding="utf-8"))
        file.write(line.text + "\n")

    with ExitStack() as files, _printed.told(write):
        yield


@contextmanager
def _limited(memory_bytes: int | None) -> Iterator[None]:
    """Let this process add so much to its private memory, and no more."""
    if memory_bytes is None:
        yield
        return
    before = resource.getrlimit(resource.RLIMIT_DATA)
    limit = _private_bytes() + memory_bytes
    hard = before[1]
    resource.setrlimit(
        resource.RLIMIT_DATA, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard)
    )
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)


def _private_bytes() -> int:
    """What counts against RLIMIT_DATA (Linux 4.7 and later)."""
    for row in Path("/proc/self/status").read_text().splitlines():
        if row.startswith("VmData:"):
            return int(row.split()[1]) * 1024
    return 0


class _Line:
    """This engine's line to one search: tells its trials' words, and hears orders in a thread."""

    def __init__(self, search: str) -> None:
        from interactive_dl.engine import world

        self.search = search
        self._engine = world.current().my_id
        self._done_with: set[tuple[int, int]] = set()
        address = _address.read(Path(os.environ[_address.CLUSTER_VARIABLE]))
        self._publisher = RecorderPublisher(
            words.work_of(search), self._engine, address, pace_s=0.0, gather_s=_GATHER_S
        )
        self._hosted: Trial | None = None
        self._lock = threading.Lock()
        self._is_closed = False
        self._thread = threading.Thread(target=self._listen, name=f"hear {search}", daemon=True)
        self._thread.start()

    def tell(self, word: words.Word) -> None:
        """Say something, without waiting."""
        is_last = isinstance(word, words.Returned)
        self._publisher.publish(events.Noted(words.plain(word)), hurries=is_last)

    def takes(self, trial: int, attempt: int) -> bool:
        """Whether an attempt is to be tried here: once, unless it was withdrawn."""
        with self._lock:
            is_new = (trial, attempt) not in self._done_with
            self._done_with.add((trial, attempt))
        return is_new

    @contextmanager
    def hosting(self, trial: Trial) -> Iterator[None]:
        """Have ``trial`` hear orders while the body runs.

        An interrupt is for this trial or for none: it is sent with the lock held.
        """
        with self._lock:
            self._hosted = trial
        try:
            yield
        finally:
            while True:
                try:
                    with self._lock:
                        self._hosted = None
                    break
                except KeyboardInterrupt:  # it came as the trial ended by itself
                    continue

    def close(self) -> None:
        """Deliver what waits, and hang up. The thread ends by itself: the next search waits."""
        self._is_closed = True
        self._publisher.close(_CLOSE_S)

    def _listen(self) -> None:
        while not self._is_closed:
            self._publisher.wait_for_command(_LISTEN_S)
            for sent in self._publisher.commands():
                if not isinstance(sent.command, Request):
                    continue
                order = words.order(sent.command.data)
                if isinstance(order, words.Order):
                    self._take(sent.id, order)

    def _take(self, id_: str, order: words.Order) -> None:
        """Obey what is for the hosted trial, or for one that waits here to begin."""
        if isinstance(order, words.Withdraw):
            self._withdraw(id_, order)
            return
        trial = self._hosted
        if trial is None or (trial.number, trial.attempt) != (order.trial, order.attempt):
            return
        trial.hear(order)  # type: ignore[arg-type]
        self._publisher.publish(events.CommandApplied(id=id_, step=0))
        if isinstance(order, words.Leave) and not trial.is_in_group:
            timer = threading.Timer(_GRACE_S, self._interrupt, (trial,))
            timer.daemon = True
            timer.start()

    def _withdraw(self, id_: str, order: words.Withdraw) -> None:
        if order.engine != self._engine:
            return
        if self.takes(order.trial, order.attempt):
            self.tell(words.Withdrawn(order.trial, order.attempt))
        self._publisher.publish(events.CommandApplied(id=id_, step=0))

    def _interrupt(self, trial: Trial) -> None:
        """Strike an objective that does not look whether it is to leave."""
        with self._lock:
            if self._hosted is trial and not trial.is_training:
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)


class _Lines:
    """The line to the search that this engine works for; to the last one, that is."""

    def __init__(self) -> None:
        self._line: _Line | None = None

    def line_of(self, search: str) -> _Line:
        if self._line is None or self._line.search != search:
            if self._line is not None:
                self._line.close()
            self._line = _Line(search)
        return self._line


_LINES = _Lines()
