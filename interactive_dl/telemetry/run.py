"""A run as a notebook holds it: watched, steered, found again."""

from __future__ import annotations

import logging
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from interactive_dl.errors import (
    CommandRefusedError,
    RecorderUnreachableError,
    RunNotFoundError,
)
from interactive_dl.telemetry import _address, identity, journal, listing, steering, wire
from interactive_dl.telemetry.events import Change, Record
from interactive_dl.telemetry.feed import ClusterSource, FileSource, Source, ask
from interactive_dl.telemetry.following import Follower
from interactive_dl.telemetry.history import CommandStatus, History, State
from interactive_dl.telemetry.steering import AnyCommand, Sent
from interactive_dl.telemetry.wire import RunSummary

TIMEOUT_S = 30.0
_ANSWER_S = 5.0
_LOG = logging.getLogger(__name__)

Callback = Callable[["Run", Sequence[Record]], None]


@dataclass(frozen=True)
class Acknowledgement:
    """All ranks have carried a command out.

    Attributes:
        id: of the command.
        step: after which they did.
        changes: knobs before and after.
    """

    id: str
    step: int
    changes: tuple[Change, ...] = ()


class Pending:
    """A command that was passed on.

    Attributes:
        id: of the command.
    """

    def __init__(self, run: Run, id_: str, command: AnyCommand) -> None:
        self.id = id_
        self._run = run
        self._command = command

    def result(self, timeout_s: float = TIMEOUT_S) -> Acknowledgement:
        """Wait for the run's answer.

        Raises:
            CommandRefusedError: the run refused.
            TimeoutError: it has not answered yet; the command may still be carried out.
        """
        if not self._run._await(self._is_answered, timeout_s):
            raise TimeoutError(
                f"A run answers after its next step, but {self._run.id} has not answered"
                f" {steering.words(self._command)!r} within {timeout_s:g} s (state:"
                f" {self._run.state}). Wait on with result(timeout_s), or see run.history.log."
            )
        status = self._status()
        if status is None or status.state != "applied" or status.step is None:
            reason = status.reason if status else f"The run has ended: {self._run.state}."
            raise CommandRefusedError(f"{steering.words(self._command)}: {reason}")
        return Acknowledgement(self.id, status.step, status.changes)

    def _is_answered(self) -> bool:
        status = self._status()
        is_open = status is None or status.state == "sent"
        return not is_open or self._run._followed.ended is not None

    def _status(self) -> CommandStatus | None:
        commands = self._run._followed.commands
        return next((one for one in reversed(commands) if one.id == self.id), None)


class Run:
    """One training, from its journal. The first use of its history starts a thread that follows it.

    Args:
        id: of the run.
        source: where its journal is read and its commands go.

    Attributes:
        id: of the run.
    """

    def __init__(self, id: str, source: Source) -> None:
        self.id = id
        self._source = source
        self._followed = History()
        self._news = threading.Condition()
        self._callbacks: list[Callback] = []
        self._follower: Follower | None = None

    def __repr__(self) -> str:
        return f"<Run {self.id}: {self.state}, step {self.history.step}>"

    # -- watching ---------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """What the run was called; its history is read for it."""
        started = self.history.started
        return started.name if started else journal.origin(self.id).name

    @property
    def state(self) -> State:
        """``starting``, ``running``, ``paused``, ``regrouping``, or how it ended."""
        return self.history.state

    @property
    def history(self) -> History:
        """All that the run has told so far; it grows while the run goes on.

        Raises:
            TelemetryError: the journal cannot be read.
        """
        follower = self._follow()
        with self._news:
            self._news.wait_for(lambda: follower.is_up_to_date or follower.has_given_up)
        if not follower.is_up_to_date and follower.problem is not None:
            raise follower.problem
        return self._followed

    def subscribe(self, callback: Callback) -> Callable[[], None]:
        """Have ``callback(run, records)`` called for all that comes, in the follower's thread.

        What came before is in ``history``, which has the records when the callback gets them.

        Returns:
            What ends it.
        """
        with self._news:
            self._callbacks.append(callback)
        self._follow()

        def unsubscribe() -> None:
            with self._news:
                if callback in self._callbacks:
                    self._callbacks.remove(callback)

        return unsubscribe

    def wait(self, timeout_s: float | None = None) -> State:
        """Wait until the run has ended.

        Returns:
            How it ended.

        Raises:
            TimeoutError: it goes on.
            TelemetryError: the journal cannot be read.
        """
        history = self.history
        if not self._await(lambda: history.ended is not None, timeout_s):
            raise TimeoutError(
                f"{self.id} has not ended within {timeout_s:g} s (state: {history.state}, step"
                f" {history.step}). To stop it: run.stop()"
            )
        return history.state

    def close(self) -> None:
        """End the thread; using the history begins anew. May be called again."""
        with self._news:
            follower, self._follower = self._follower, None
        if follower is not None:
            follower.stop()

    # -- steering ---------------------------------------------------------------------------------

    def send(self, command: AnyCommand, *, wait: bool = True, timeout_s: float = TIMEOUT_S) -> Any:
        """Have all ranks carry out a command after the same step.

        Args:
            command: what to do.
            wait: whether to wait for the run's answer.
            timeout_s: how long.

        Returns:
            The ``Acknowledgement``; without waiting, something whose ``result()`` waits for it.

        Raises:
            CommandRefusedError: the run, or the recorder, refused.
            RecorderUnreachableError: there is no recorder to pass it on.
            TimeoutError: the run has not answered yet.
        """
        self._follow()
        sent = Sent(secrets.token_hex(8), identity.who(), command)
        self._source.send(sent, min(timeout_s, _ANSWER_S))
        pending = Pending(self, sent.id, command)
        return pending.result(timeout_s) if wait else pending

    def set(self, *, wait: bool = True, timeout_s: float = TIMEOUT_S, **knobs: Any) -> Any:
        """Give knobs new values: ``run.set(learning_rate=3e-4)``. See ``send``.

        ``run.history.knobs`` has their names and limits.
        """
        values = {name: _plain(name, value) for name, value in knobs.items()}
        return self.send(steering.SetKnobs(values), wait=wait, timeout_s=timeout_s)

    def pause(self, *, wait: bool = True, timeout_s: float = TIMEOUT_S) -> Any:
        """Let the run wait after its step, keeping everything. See ``send``."""
        return self.send(steering.Pause(), wait=wait, timeout_s=timeout_s)

    def resume(self, *, wait: bool = True, timeout_s: float = TIMEOUT_S) -> Any:
        """Go on after a pause. See ``send``."""
        return self.send(steering.Resume(), wait=wait, timeout_s=timeout_s)

    def stop(self, after: str = "step", *, wait: bool = True, timeout_s: float = TIMEOUT_S) -> Any:
        """End the training after its step, or with its ``epoch``. See ``send``.

        Raises:
            ValueError: ``after`` is neither.
        """
        if after not in ("step", "epoch"):
            raise ValueError(f"A run stops after its 'step' or its 'epoch', but got {after!r}.")
        command = steering.Stop(after)  # type: ignore[arg-type]
        return self.send(command, wait=wait, timeout_s=timeout_s)

    def checkpoint(self, *, wait: bool = True, timeout_s: float = TIMEOUT_S) -> Any:
        """Write the run's checkpoint now. See ``send``."""
        return self.send(steering.WriteCheckpoint(), wait=wait, timeout_s=timeout_s)

    def evaluate(self, *, wait: bool = True, timeout_s: float = TIMEOUT_S) -> Any:
        """Validate now. See ``send``."""
        return self.send(steering.Evaluate(), wait=wait, timeout_s=timeout_s)

    def grow(self, *, wait: bool = True, timeout_s: float = TIMEOUT_S) -> Any:
        """Start the engines that the training lacks, and take them in. See ``send``."""
        return self.send(steering.Grow(), wait=wait, timeout_s=timeout_s)

    # -- following --------------------------------------------------------------------------------

    def _follow(self) -> Follower:
        with self._news:
            if self._follower is None:
                self._followed = History()
                self._follower = Follower(
                    f"follow {self.id}", self._source, self._take, self._notice
                )
                self._follower.start()
            return self._follower

    def _await(self, is_so: Callable[[], bool], timeout_s: float | None) -> bool:
        with self._news:
            return self._news.wait_for(is_so, timeout_s)

    def _take(self, part: journal.Chunk) -> None:
        """Called by the follower's thread: add a part, tell who subscribed."""
        sketches = journal.sketches(part, self.id)
        if sketches:
            self._followed.extend(sketches)
        records = _Unread(part, self.id, len(sketches))
        with self._news:
            callbacks = list(self._callbacks) if sketches else []
            if callbacks:  # they may take their time
                self._news.notify_all()
        for callback in callbacks:
            try:
                callback(self, records)
            except Exception:  # noqa: BLE001 - the others, and the history, go on
                _LOG.exception("A subscriber of %s failed.", self.id)

    def _notice(self) -> None:
        with self._news:
            self._news.notify_all()


class _Unread(Sequence[Record]):
    """The records of a part, read when somebody looks: some only want to know that they came."""

    def __init__(self, part: journal.Chunk, run: str, count: int) -> None:
        self._part, self._run, self._count = part, run, count

    @cached_property
    def _records(self) -> list[Record]:
        return journal.decode(self._part, self._run)

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, at: Any) -> Any:
        return self._records[at]


class Runs(Mapping[str, Run]):
    """Runs by id, or the latest by name.

    Args:
        folder: of the journals.
        cluster: folder of the cluster whose recorder writes them; None to read the files.
    """

    def __init__(self, folder: str | Path, cluster: Path | None = None) -> None:
        self.folder = Path(folder).absolute()
        self._cluster = cluster
        self._opened: dict[str, Run] = {}

    def summaries(self) -> tuple[RunSummary, ...]:
        """What there is, the newest last."""
        if self._cluster is not None and _address.path_in(self._cluster).exists():
            try:
                answer = ask(_address.read(self._cluster), wire.ListRuns(1), _ANSWER_S)
            except RecorderUnreachableError:
                if not self.folder.exists():
                    raise
            else:
                assert isinstance(answer, wire.RunList)
                return answer.runs
        return listing.summaries(self.folder)

    def __getitem__(self, name: str) -> Run:
        """The run with this id, or the latest with this name; one object for each run.

        Raises:
            RunNotFoundError: there is none.
        """
        known = self.summaries()
        wanted = [one for one in known if name in (one.run, one.name)]
        if not wanted:
            raise RunNotFoundError(
                f"Runs are found by name or id, but none is {name!r} in {self.folder}. There are:"
                f" {', '.join(one.run for one in known[-10:]) or 'none'}."
            )
        run = wanted[-1].run
        if run not in self._opened:
            self._opened[run] = Run(run, self._source(run))
        return self._opened[run]

    def __iter__(self) -> Iterator[str]:
        return (one.run for one in self.summaries())

    def __len__(self) -> int:
        return len(self.summaries())

    def __repr__(self) -> str:
        lines = [
            f"  {one.run}  {one.outcome or 'not ended'}  {one.size_bytes / 1e6:.1f} MB"
            for one in self.summaries()
        ]
        return "\n".join([f"Runs in {self.folder}:", *(lines or ["  none"])])

    def close(self) -> None:
        """End the threads of all runs that were opened here; may be called again."""
        for run in self._opened.values():
            run.close()

    def _source(self, run: str) -> Source:
        if self._cluster is not None:
            return ClusterSource(self._cluster, self.folder, run)
        return FileSource(journal.path_of(self.folder, run))


def open_run(path: str | Path) -> Run:
    """A run from its journal: one that a script writes now, or one of long ago.

    Args:
        path: of the journal.

    Raises:
        JournalError: it is none, or cannot be read.
    """
    path = Path(path).absolute()
    return Run(journal.header(path).run, FileSource(path))


def _plain(name: str, value: Any) -> Any:
    """NumPy's numbers as Python's."""
    plain = value.item() if hasattr(value, "item") else value
    if isinstance(plain, bool | int | float | str):
        return plain
    raise TypeError(
        f"A knob's value is a number, but got {name}={value!r} ({type(value).__name__})."
    )
