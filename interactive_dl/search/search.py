"""A search as a notebook holds it: started, watched, steered, found again."""

from __future__ import annotations

import contextlib
import inspect
import logging
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import msgspec

from interactive_dl.errors import (
    ActionRefusedError,
    SearchError,
)
from interactive_dl.search import _finding, _launching, actions, events, frame, study, words
from interactive_dl.search._pending import Pending
from interactive_dl.search._steering import TIMEOUT_S, Steering
from interactive_dl.search.book import Book, Trial
from interactive_dl.search.driver import Opening
from interactive_dl.search.events import AnyAction
from interactive_dl.search.ranges import AnyDimension, Value
from interactive_dl.search.space import Space
from interactive_dl.telemetry import identity, journal
from interactive_dl.telemetry.feed import ClusterSource, FileSource, Source
from interactive_dl.telemetry.following import Follower

if TYPE_CHECKING:
    import pandas as pd

    from interactive_dl.cluster import Cluster

_ANSWER_S = 5.0
_LOG = logging.getLogger(__name__)

Callback = Callable[["Search", list[events.Record]], None]


class Search(Steering):
    """A hyper-parameter search; a process of the cluster runs it, so it outlives the notebook.

    search = idl.Search(objective, {"lr": idl.log_uniform(1e-5, 1e-1)}, metric="val_loss")
    search.start(cluster, trials=64)

    Args:
        objective: a function of one ``trial`` (``search.trial.Trial``), or of keyword arguments by
            the space's names; it returns the metric's value, a Keras history, or nothing where it
            reports. It is sent to the engines with what it refers to.
        space: ranges by name (``idl.uniform``, ``log_uniform``, ``integer``, ``log_integer``,
            ``choice``, ``fixed``); a plain value is fixed.
        metric: of the reports, that trials are judged by.
        direction: ``minimize`` or ``maximize``.
        sampler: who proposes points; see ``search.samplers.SAMPLERS``.
        pruner: who ends hopeless trials; see ``search.pruners.PRUNERS``.
        sampler_options, pruner_options: theirs.
        name: of the search.
        seed: of every draw.

    Raises:
        SpaceError: a space that makes no sense.
        UnknownNameError: no such sampler, pruner or option.
        SearchError: an objective that cannot be sent, or a direction that is none.
    """

    def __init__(
        self,
        objective: Callable[..., Any],
        space: Mapping[str, AnyDimension | Value],
        *,
        metric: str = "val_loss",
        direction: events.Direction = "minimize",
        sampler: str = "random",
        pruner: str = "none",
        sampler_options: Mapping[str, Any] | None = None,
        pruner_options: Mapping[str, Any] | None = None,
        name: str = "search",
        seed: int = 0,
    ) -> None:
        self._described: events.SearchBegan | None = events.SearchBegan(
            name=name,
            space=Space.of(dict(space)),
            metric=metric,
            direction=direction,
            sampler=sampler,
            sampler_options=dict(sampler_options or {}),
            pruner=pruner,
            pruner_options=dict(pruner_options or {}),
            seed=seed,
            source=_source(objective),
            versions={"interactive-dl": journal.package_version()},
        )
        self._objective = _launching.pickled(objective)
        _launching.check(self._described)
        self._enter(_launching.new_id(name), Path(), None)

    def _enter(self, search: str, runs: Path, cluster: Path | None) -> None:
        self.id = search
        self._runs = runs
        self._cluster = cluster
        self._engines: Cluster | None = None
        self._book = Book()
        self._news = threading.Condition()
        self._callbacks: list[Callback] = []
        self._follower: Follower | None = None

    @classmethod
    def attach(
        cls, name: str, *, cluster: Cluster | None = None, runs: str | Path | None = None
    ) -> Self:
        """A search that was started before, from any process.

        Args:
            name: its name, of which the latest is taken, or its id.
            cluster: whose engines and recorder it uses; by default that of the search, if it lives.
            runs: folder of the journals; by default the cluster's, ``$IDL_RUNS`` or ``runs``.

        Raises:
            SearchNotFoundError: there is none.
        """
        found = _finding.find(name, cluster, runs)
        search = cls.__new__(cls)
        search._described = None
        search._objective = b""
        search._enter(found.id, found.runs, found.cluster)
        search._engines = cluster
        return search

    @staticmethod
    def known(runs: str | Path | None = None) -> tuple[str, ...]:
        """Ids of all searches that have a journal, the newest last."""
        return _finding.searches(_finding.folder(None, runs))

    def renamed(self, name: str) -> Self:
        """The same search under another name; for one that was not started."""
        if self._described is None or self._cluster is not None:
            raise SearchError(f"A search keeps its name once started, but {self.id!r} was.")
        self._described = msgspec.structs.replace(self._described, name=name)
        self.id = _launching.new_id(name)
        return self

    @property
    def runs_folder(self) -> Path:
        """Where its journals lie; of one that was started."""
        return self._runs

    def __repr__(self) -> str:
        counts = ", ".join(f"{count} {state}" for state, count in self._counts().items())
        return f"<Search {self.id}: {self.state}{', ' if counts else ''}{counts}>"

    def _counts(self) -> dict[str, int]:
        known = self._book.count_by_state.items()
        return {state: count for state, count in known if count}

    # -- life -------------------------------------------------------------------------------------

    def start(
        self,
        cluster: Cluster,
        *,
        trials: int | None = None,
        concurrency: int | None = None,
        engines_per_trial: int = 1,
        time_budget_s: float | None = None,
        memory_bytes: int | None = None,
        crashes: int = 3,
        stop_runs: bool = False,
    ) -> Self:
        """Let the cluster's engines try trials from now on, until they are done.

        Args:
            cluster: a running one.
            trials: how many the sampler makes; None: until somebody stops it.
            concurrency: how many at once; None for as many as the engines allow.
            engines_per_trial: k engines train each trial together.
            time_budget_s: seconds of work after which it ends; while nobody runs it, none pass.
            memory_bytes: that a trial may add to its engine's memory.
            crashes: a trial that crashes on so many different engines is not tried again.
            stop_runs: whether to stop trainings that run on the engines, after a checkpoint.

        Raises:
            SearchError: it was started before; limits that make no sense; its process did not
                come up.
            EnginesBusyError: a training or another search runs on the engines.
        """
        if self._described is None or self._cluster is not None:
            raise SearchError(
                f"A search is started once, but {self.id!r} was. To go on with one that lost its"
                " cluster, type: search.resume(cluster)"
            )
        limits = events.Limits(
            trials=trials,
            concurrency=concurrency,
            engines_per_trial=engines_per_trial,
            time_budget_s=time_budget_s,
            memory_bytes=memory_bytes,
            crashes=crashes,
        )
        _launching.check_limits(limits, cluster)
        _launching.clear(cluster, self.id, stops_runs=stop_runs)
        began = msgspec.structs.replace(self._described, limits=limits)
        _launching.write(cluster.runs_folder, self.id, began, self._objective)
        self._launch(cluster)
        return self

    def resume(
        self,
        cluster: Cluster,
        *,
        trials: int | None = None,
        concurrency: int | None = None,
        time_budget_s: float | None = None,
        stop_runs: bool = False,
    ) -> Self:
        """Go on with a search whose cluster, or whose driver, has ended; here or on another one.

        Trials that ran there go on from their last checkpoints.

        Args:
            cluster: a running one.
            trials, concurrency, time_budget_s: new limits, in force before anything is started or
                ended; None leaves a limit as it is. See ``start``.
            stop_runs: whether to stop trainings that run on the engines, after a checkpoint.

        Raises:
            ActionRefusedError: a limit that makes no sense.
            SearchError: it has ended, or somebody runs it.
            EnginesBusyError: a training or another search runs on the engines.
        """
        if self.book.ended is not None:
            raise SearchError(
                f"A search that has ended is not resumed, but {self.id} has: {self.state}. Start"
                " another one with its best points: new.enqueue(**search.best.params)"
            )
        if _launching.is_driven(self._runs, self.id):
            raise SearchError(f"A search is run by one process, but {self.id} is run already.")
        if cluster.runs_folder.absolute() != self._runs.absolute():
            raise SearchError(
                f"A search stays in its folder of runs, {self._runs}, but the cluster's is"
                f" {cluster.runs_folder}. Start it with idl.Cluster(..., runs={str(self._runs)!r})."
            )
        changes: dict[AnyAction, float | None] = {
            events.SetTrials(trials): trials,
            events.SetConcurrency(concurrency): concurrency,
            events.SetTimeBudget(time_budget_s): time_budget_s,
        }
        limits = [action for action, limit in changes.items() if limit is not None]
        opening = self._opening({secrets.token_hex(8): action for action in limits})
        _launching.clear(cluster, self.id, stops_runs=stop_runs)
        self.close()
        _launching.note_opening(self._runs, self.id, opening)
        self._launch(cluster)
        return self

    def _opening(self, wanted: Mapping[str, AnyAction]) -> Opening:
        """What it is gone on with.

        Raises:
            ActionRefusedError: one of the actions makes no sense.
        """
        who = identity.who()
        for id_, action in wanted.items():
            answer = actions.answer(self.book, id_, who, action)
            if isinstance(answer, events.ActionRefused):
                raise ActionRefusedError(answer.reason)
        return Opening(who, dict(wanted))

    def _launch(self, cluster: Cluster) -> None:
        _launching.launch(cluster, self.id)
        _launching.await_driver(cluster, cluster.runs_folder, self.id)
        # Not before: somebody who looks on, as a board does, would find no journal.
        self._runs, self._cluster = cluster.runs_folder, cluster.folder
        self._engines = cluster

    def wait(self, timeout_s: float | None = None) -> str:
        """Wait until the search has ended.

        Returns:
            How: its state.

        Raises:
            TimeoutError: it goes on.
            SearchError: nobody runs it any more.
        """
        deadline_s = None if timeout_s is None else time.monotonic() + timeout_s
        while not self._await(lambda: self._book.ended is not None, _left(deadline_s)):
            if deadline_s is not None and time.monotonic() >= deadline_s:
                raise TimeoutError(
                    f"{self.id} has not ended within {timeout_s:g} s: {self!r}. To stop it:"
                    " search.stop()"
                )
            if self.state == "abandoned":
                raise SearchError(f"Nobody runs {self.id} any more. Type: search.resume(cluster)")
        return self.state

    def close(self) -> None:
        """End the thread that follows it; using the book begins anew. May be called again."""
        with self._news:
            follower, self._follower = self._follower, None
        if follower is not None:
            follower.stop()

    # -- watching ---------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """Of the search; several may share it."""
        return journal.origin(self.id).name

    @property
    def book(self) -> Book:
        """All that was told so far; it grows while the search goes on. Read it only.

        Raises:
            TelemetryError: the journal cannot be read.
        """
        if self._described is not None and self._cluster is None:
            return self._book  # not started
        follower = self._follow()
        with self._news:
            self._news.wait_for(lambda: follower.is_up_to_date or follower.has_given_up)
        if not follower.is_up_to_date and follower.problem is not None:
            raise follower.problem
        return self._book

    @property
    def state(self) -> str:
        """``not started``, ``running``, ``finished``, ``stopped``, or ``abandoned``: without a
        process that runs it.
        """
        if self._described is not None and self._cluster is None:
            return "not started"
        book = self.book
        if book.ended is not None:
            return book.ended.outcome
        return "running" if _launching.is_driven(self._runs, self.id) else "abandoned"

    def subscribe(self, callback: Callback) -> Callable[[], None]:
        """Have ``callback(search, records)`` called for all that comes, in the follower's thread.

        What came before is in ``book``, which has the records when the callback gets them.

        Returns:
            What ends it.
        """
        with self._news:
            self._callbacks.append(callback)
        self._follow()

        def unsubscribe() -> None:
            with self._news, contextlib.suppress(ValueError):
                self._callbacks.remove(callback)

        return unsubscribe

    def frame(self) -> pd.DataFrame:
        """One row a trial. See ``search.frame.frame``."""
        return frame.frame(self.book)

    def curves(self) -> pd.DataFrame:
        """All reports: columns trial, step, then the metrics."""
        return frame.curves(self.book)

    @property
    def best(self) -> Trial:
        """The best finished trial.

        Raises:
            SearchError: none has finished with a value.
        """
        return frame.best(self.book)

    def importance(self) -> dict[str, float]:
        """How much each parameter matters. See ``search.frame.importance``."""
        return frame.importance(self.book)

    def output(self, trial: int) -> list[str]:
        """What a trial has printed, line by line, over all its attempts."""
        self.book.trial(trial)
        return _finding.output(self._runs, self.id, trial)

    def export(self, url: str) -> None:
        """Write it as an Optuna study, for Optuna's dashboard: ``sqlite:///digits.db``."""
        study.export(self.book, url)

    # -- steering ---------------------------------------------------------------------------------

    def act(self, action: AnyAction, *, wait: bool = True, timeout_s: float = TIMEOUT_S) -> Any:
        """Ask the search for something.

        Args:
            action: what.
            wait: whether to wait for the answer.
            timeout_s: how long.

        Returns:
            The ``Acted``; without waiting, something whose ``result()`` waits for it.

        Raises:
            ActionRefusedError: it refuses, and why.
            RecorderUnreachableError: the cluster's recorder does not answer.
            TimeoutError: it has not answered yet.
        """
        pending = Pending(self, secrets.token_hex(8), action)
        if self._cluster is not None:  # others may have gone on with it on another cluster
            self._cluster = _finding.cluster_of(self._runs, self.id) or self._cluster
        if self.book.ended is not None:
            self._reopen(pending, action)
        elif self._cluster is None:
            raise ActionRefusedError(
                f"A search is steered while it runs, but {self.id} is {self.state}."
                " Type: search.resume(cluster)"
            )
        else:
            pending.send(min(timeout_s, _ANSWER_S))
        return pending.result(timeout_s) if wait else pending

    def _reopen(self, pending: Pending, action: AnyAction) -> None:
        """Have a search that has ended go on, for an action that gives it something to do."""
        from interactive_dl.cluster import Cluster

        if not isinstance(action, _OPENING):
            raise ActionRefusedError(
                f"A search is steered while it runs, but {self.id} is {self.state}. It can be"
                " opened again with a trial: promote, enqueue, clone, restart_trial, set_trials."
            )
        opening = self._opening({pending.id: action})
        if self._cluster is None:
            raise ActionRefusedError(
                f"A search that has ended needs engines to go on, but the cluster of {self.id} is"
                f" gone. Type: idl.Search.attach({self.id!r}, cluster=cluster), with one that was"
                f" started with runs={str(self._runs)!r}, and ask again."
            )
        engines = self._engines or Cluster.attach(self._cluster.name)
        _launching.clear(engines, self.id, stops_runs=False)
        _launching.await_end(self._runs, self.id)
        _launching.note_opening(self._runs, self.id, opening)
        self._launch(engines)
        self._follow().look()
        self._await(lambda: self._book.has_action(pending.id), TIMEOUT_S)

    # -- following --------------------------------------------------------------------------------

    def _source(self, run: str) -> Source:
        if self._cluster is not None:
            return ClusterSource(self._cluster, self._runs, run)
        return FileSource(journal.path_of(self._runs, run))

    def _follow(self) -> Follower:
        with self._news:
            if self._follower is None:
                self._book = Book()
                run = words.journal_of(self.id)
                self._follower = Follower(
                    f"follow {self.id}", self._source(run), self._take, self._notice, lingers=True
                )
                self._follower.start()
            return self._follower

    def _await(self, is_so: Callable[[], bool], timeout_s: float | None) -> bool:
        self._follow()
        with self._news:
            return self._news.wait_for(is_so, timeout_s)

    def _take(self, part: journal.Chunk) -> None:
        """Called by the follower's thread."""
        records = events.decode(part, self.id)
        with self._news:
            for record in records:
                self._book.add(record)
            callbacks = list(self._callbacks) if records else []
            self._news.notify_all()
        for callback in callbacks:
            try:
                callback(self, records)
            except Exception:  # noqa: BLE001 - the others, and the book, go on
                _LOG.exception("A subscriber of %s failed.", self.id)

    def _notice(self) -> None:
        with self._news:
            self._news.notify_all()


_OPENING = (events.Promote, events.Enqueue, events.Clone, events.Restart, events.SetTrials)


def _source(objective: Callable[..., Any]) -> str:
    try:
        return inspect.getsource(objective)
    except (OSError, TypeError):
        return ""


def _left(deadline_s: float | None) -> float:
    """Now and then somebody must look whether the search is still run."""
    return 1.0 if deadline_s is None else max(0.0, min(1.0, deadline_s - time.monotonic()))
