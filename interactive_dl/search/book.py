"""The book of a search: a pure fold of its journal, at constant cost for each record.

A trial's states, and the events that lead from one to the next:

            TrialStarted            TrialEnded
    queued ─────────────> running ─────────────> finished | pruned | stopped | failed | quarantined
      ^ ^                  │   │                   ^
      │ └── TrialCrashed ──┘   │ TrialPaused       │
      └──── TrialResumed ── paused ── TrialEnded ──┘

Queued trials can be paused and ended, too.

An event that cannot follow is refused with TransitionError, and nothing has changed: any beginning
of a journal makes a legal book.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec

from interactive_dl.errors import TransitionError
from interactive_dl.search import events as e
from interactive_dl.search.ranges import Value
from interactive_dl.search.space import Space
from interactive_dl.telemetry.events import Ended, Number, StateChanged

LiveState = Literal["queued", "running", "paused"]
State = LiveState | e.EndState
Wish = Literal["", "stop", "pause", "resume"]

LIVE: frozenset[str] = frozenset({"queued", "running", "paused"})


class Attempt(msgspec.Struct, frozen=True):
    """A trial on engines, from ``began_s``; as ``run`` where it has opened one."""

    engines: tuple[int, ...]
    began_s: float
    run: str = ""


@dataclass(slots=True)
class Trial:
    """What is known of a trial; only its book changes it.

    Attributes:
        number: from 0.
        params: by name.
        origin, parent, warm, needs, notes, promotion: as its ``TrialCreated`` says.
        range_version: of the book's space when it was made.
        created_s, ended_s: seconds since the epoch.
        state: see the module.
        priority: higher ones first.
        wish: what a person wants of it that has not happened yet.
        attempts: on which engines it ran.
        crashed_on: engines that died of it.
        reports: metrics by step, in the order told.
        judging: finite values of the search's metric by step.
        rungs: what the pruner noted.
        pruning: why its last attempt was told to leave, where it was hopeless.
        last, best: of the search's metric.
        value: what it is judged by, once it has ended.
        why: how it ended, in words.
        checkpoint: the last one's path; empty where there is none.
        checkpoint_step: the step that it is of.
        learning_rate: what a person set.
        paused_for: the promotion that it waits for.
    """

    number: int
    params: Mapping[str, Value]
    origin: e.Origin
    parent: int | None
    warm: bool
    needs: int | None
    notes: Mapping[str, Any]
    range_version: int
    created_s: float
    promotion: e.Promotion | None = None
    priority: int = 0
    state: State = "queued"
    wish: Wish = ""
    attempts: list[Attempt] = field(default_factory=list)
    crashed_on: set[int] = field(default_factory=set)
    crashes: int = 0
    reports: dict[int, Mapping[str, Number]] = field(default_factory=dict)
    judging: dict[int, float] = field(default_factory=dict)
    rungs: dict[str, Any] = field(default_factory=dict)
    pruning: e.Pruning | None = None
    last: float | None = None
    best: float | None = None
    value: float | None = None
    why: str = ""
    checkpoint: str = ""
    checkpoint_step: int = 0
    learning_rate: float | None = None
    paused_for: int | None = None
    ended_s: float | None = None

    @property
    def is_over(self) -> bool:
        """Whether it has ended for good."""
        return self.state not in LIVE

    @property
    def engines(self) -> tuple[int, ...]:
        """Where it runs now, by rank."""
        return self.attempts[-1].engines if self.state == "running" else ()


@dataclass(slots=True)
class _Work:
    """When a search was worked on, as far as its records tell.

    Attributes:
        before_s: seconds of all stretches but the last.
        began_s, last_s: of the last stretch, in seconds since the epoch.
        goes_on: whether that has not ended by itself; a death is seen when the next one begins.
    """

    before_s: float = 0.0
    began_s: float = 0.0
    last_s: float = 0.0
    goes_on: bool = False

    def note(self, event: e.AnySearchEvent, time_s: float) -> None:
        """A record was made at this time."""
        if isinstance(event, e.SearchBegan | e.Reopened) or (
            isinstance(event, e.AtWork) and event.begins
        ):
            self.before_s += self.last_s - self.began_s
            self.began_s = self.last_s = time_s
            self.goes_on = True
        else:
            self.last_s = max(self.last_s, time_s)
            self.goes_on &= not isinstance(event, Ended)

    def until(self, now_s: float) -> float:
        """Seconds of work, up to now where it goes on."""
        last_s = max(self.last_s, now_s) if self.goes_on else self.last_s
        return self.before_s + last_s - self.began_s


class Book:
    """All that is known of a search. Read it as you like; only ``add`` changes it.

    Attributes:
        run: id of the search; empty before the first record.
        began: how it began; None before.
        began_s: when, in seconds since the epoch.
        space: what is searched now.
        range_version: how often the space was changed.
        limits: as they are now.
        trials: by number.
        running: numbers, and the engines that each has.
        paused: numbers.
        count_by_state: how many trials are in each state.
        sampled: how many trials the sampler has made.
        best: number of the best finished trial.
        bests: every number that was the best, in turn.
        actions: what people did, and what was refused, with its time.
        ended: how the search ended; None while it goes on.
        next_seq: number of the next record by its teller.
        wishes: what people want of trials that has not happened yet, by number.
        to_create: actions by id whose trial has not been created yet.
        is_lost: the recorder has not heard who runs it for a while; its trials may go on.
        is_stopping: somebody has stopped the search.
        is_exhausted: the sampler has no further points.
    """

    def __init__(self) -> None:
        self.run = ""
        self.began: e.SearchBegan | None = None
        self.began_s = 0.0
        self.space = Space({})
        self.range_version = 0
        self.limits = e.Limits()
        self.trials: list[Trial] = []
        self.running: dict[int, tuple[int, ...]] = {}
        self.paused: set[int] = set()
        self.count_by_state: dict[State, int] = {}
        self.sampled = 0
        self.best: int | None = None
        self.bests: list[int] = []
        self.actions: list[tuple[float, e.Acted | e.ActionRefused]] = []
        self.ended: Ended | None = None
        self.next_seq: dict[int, int] = {}
        self.wishes: dict[int, Wish] = {}
        self.to_create: dict[str, e.Acted] = {}
        self.is_lost = False
        self.is_stopping = False
        self.is_exhausted = False
        self._known_actions: set[str] = set()
        self._work = _Work()
        self._queue: list[tuple[int, int]] = []
        self._engines: dict[int, int] = {}

    @classmethod
    def of(cls, records: Iterable[e.Record]) -> Book:
        """The book of a journal.

        Raises:
            TransitionError: the records cannot follow one another.
        """
        book = cls()
        for record in records:
            book.add(record)
        return book

    def add(self, record: e.Record) -> bool:
        """Take a record in; one that came before is left out.

        Returns:
            whether it was new.

        Raises:
            SearchError: it cannot follow; nothing has changed.
        """
        expected = self.next_seq.get(record.engine, 0)
        if record.seq < expected:
            return False
        if record.seq > expected:
            raise TransitionError(
                f"Records of a search come in order, but after number {expected - 1} of teller"
                f" {record.engine} came {record.seq}. Read the journal from its beginning."
            )
        self._take(record.event, record.time_s)
        if record.engine == e.DRIVER:
            self._work.note(record.event, record.time_s)
        self.run = self.run or record.run
        self.next_seq[record.engine] = expected + 1
        return True

    def trial(self, number: int) -> Trial:
        """A trial by its number.

        Raises:
            TransitionError: there is none.
        """
        if not 0 <= number < len(self.trials):
            raise TransitionError(
                f"This search has trials 0 to {len(self.trials) - 1}, but got {number}."
                if self.trials
                else f"This search has no trials yet, but got {number}."
            )
        return self.trials[number]

    def next_queued(self) -> Generator[Trial, None, None]:
        """Waiting trials, those of the highest priority first, then the oldest.

        Close the generator before records are added: ``contextlib.closing``.
        """
        seen: list[tuple[int, int]] = []
        try:
            while self._queue:
                entry = heapq.heappop(self._queue)
                trial = self.trials[entry[1]]
                if (
                    trial.state == "queued"
                    and -entry[0] == trial.priority
                    and entry not in seen[-1:]
                ):
                    seen.append(entry)
                    yield trial
        finally:
            for entry in seen:
                heapq.heappush(self._queue, entry)

    def allow(self, action: e.AnyAction) -> None:
        """See that somebody may do this now.

        Raises:
            TransitionError: the trial or the search is in no state for it.
            SpaceError: parameters or ranges that make no sense.
        """
        match action:
            case e.SetTrials(trials=limit) | e.SetConcurrency(concurrency=limit):
                _check_limit(limit)
            case e.SetTimeBudget(time_budget_s=limit):
                _check_limit(limit)
            case e.SetRange(parameter=name, dimension=dimension):
                self.space.ranged(name, dimension)
            case e.SetPriority(trial=number) | e.StopTrial(trial=number):
                self._expect(action, number, *LIVE)
            case e.PauseTrial(trial=number):
                self._expect(action, number, "queued", "running")
            case e.ResumeTrial(trial=number):
                self._expect(action, number, "paused")
            case e.SetLearningRate(trial=number, learning_rate=rate):
                self._expect(action, number, "running")
                _check_rate(rate)
            case e.Restart(trial=number):
                self.trial(number)
            case e.Clone(trial=number, params=params, warm=warm):
                parent = self.trial(number)
                self.space.complete(params)
                _expect_checkpoint(parent, "A clone", is_needed=warm)
            case e.Enqueue(params=params):
                self.space.complete(params)
            case e.Promote(trial=number):
                self._allow_promotion(action, number)

    def has_action(self, id: str) -> bool:
        """Whether an action was carried out or refused."""
        return id in self._known_actions

    def worked_s(self, now_s: float) -> float:
        """How long the search was worked on, in seconds; see ``events.AtWork``.

        Args:
            now_s: seconds since the epoch, by the clock of the records.
        """
        return self._work.until(now_s)

    def is_better(self, one: float, other: float | None) -> bool:
        """Whether a value of the metric is better than another."""
        if other is None:
            return True
        is_less = self.began is None or self.began.direction == "minimize"
        return one < other if is_less else one > other

    def _take(self, event: e.AnySearchEvent, time_s: float) -> None:
        if isinstance(event, e.SearchBegan):
            self._begin(event, time_s)
            return
        if isinstance(event, StateChanged) or (
            isinstance(event, Ended) and event.outcome == "lost"
        ):
            self.is_lost = isinstance(event, Ended)
            return
        if isinstance(event, e.Reopened):
            self._reopen()
            return
        if not isinstance(event, _OF_A_SEARCH):
            return
        if self.began is None or self.ended is not None:
            raise TransitionError(
                f"{type(event).__name__} comes between a search's beginning and its end, but this"
                f" one has {'ended' if self.ended else 'not begun'}."
            )
        match event:
            case e.TrialCreated():
                self._create(event, time_s)
            case e.TrialStarted():
                self._start(event, time_s)
            case e.Reported():
                self._report(event)
            case e.TrialCheckpointed():
                trial = self._expect(event, event.trial, "running")
                trial.checkpoint, trial.checkpoint_step = event.path, event.step
            case e.RunOpened():
                trial = self._expect(event, event.trial, "running")
                trial.attempts[-1] = msgspec.structs.replace(trial.attempts[-1], run=event.run)
            case e.TrialPaused():
                trial = self._expect(event, event.trial, "running", "queued")
                self._move(trial, "paused")
                trial.paused_for = event.for_trial
            case e.TrialResumed():
                self._move(self._expect(event, event.trial, "paused"), "queued")
            case e.TrialCrashed():
                self._crash(event)
            case e.TrialEnded():
                self._end_trial(event, time_s)
            case e.SamplerExhausted():
                self.is_exhausted = True
            case e.Acted():
                self._act(event, time_s)
            case e.ActionRefused():
                self._note_action(event, time_s)
            case Ended():
                self._end(event)

    def _allow_promotion(self, action: e.Promote, number: int) -> None:
        parent = self.trial(number)
        _expect_checkpoint(parent, "A promotion", is_needed=action.warm)
        if action.how.epochs < 1 or (action.engines is not None and action.engines < 1):
            raise TransitionError(
                "A promotion is of 1 epoch and 1 engine or more, but got"
                f" epochs={action.how.epochs}, engines={action.engines}."
            )

    def _begin(self, event: e.SearchBegan, time_s: float) -> None:
        if self.began is not None:
            raise TransitionError(
                f"A search begins once, but {self.began.name!r} began again. Another search has a"
                " journal of its own: telemetry.events.new_run_id(name)."
            )
        self.began, self.began_s = event, time_s
        self.space, self.limits = event.space, event.limits

    def _reopen(self) -> None:
        if self.ended is None:
            raise TransitionError("A search is opened again after its end, but this one goes on.")
        self.ended, self.is_stopping = None, False
        self._limit(time_budget_s=None)

    def _create(self, event: e.TrialCreated, time_s: float) -> None:
        if event.trial != len(self.trials):
            raise TransitionError(
                f"Trials are numbered without gaps, the next is {len(self.trials)}, but got"
                f" {event.trial}."
            )
        if event.parent is not None:
            self.trial(event.parent)
        trial = Trial(
            number=event.trial,
            params=event.params,
            origin=event.origin,
            parent=event.parent,
            warm=event.warm,
            needs=event.needs,
            notes=event.notes,
            range_version=self.range_version,
            created_s=time_s,
            promotion=event.promotion,
            priority=event.priority,
        )
        self.trials.append(trial)
        self.sampled += event.origin == "sampler"
        self.to_create.pop(event.action, None)
        self._count("queued", 1)
        self._enter_queue(trial)

    def _start(self, event: e.TrialStarted, time_s: float) -> None:
        trial = self._expect(event, event.trial, "queued")
        taken = {
            engine: self._engines[engine] for engine in event.engines if engine in self._engines
        }
        if taken or not event.engines or len(set(event.engines)) < len(event.engines):
            raise TransitionError(
                f"A trial starts on free engines, each once, but trial {event.trial} got"
                f" {event.engines}; taken, with the trial that has each: {taken}."
            )
        trial.attempts.append(Attempt(event.engines, time_s))
        trial.pruning = None
        self._move(trial, "running")

    def _report(self, event: e.Reported) -> None:
        trial = self._expect(event, event.trial, "running")
        trial.reports[event.step] = event.metrics
        trial.rungs.update(event.notes)
        trial.pruning = trial.pruning or event.pruning
        value = event.metrics.get(self.began.metric) if self.began else None
        if value is None or not math.isfinite(value):
            return
        trial.judging[event.step] = trial.last = value
        if self.is_better(value, trial.best):
            trial.best = value

    def _crash(self, event: e.TrialCrashed) -> None:
        trial = self._expect(event, event.trial, "running")
        trial.crashes += event.is_blamed
        trial.crashed_on.update(event.engines if event.is_blamed else ())
        self._move(trial, "queued")

    def _end_trial(self, event: e.TrialEnded, time_s: float) -> None:
        trial = self._expect(event, event.trial, *LIVE)
        value = trial.last if event.value is None else event.value
        trial.value = value if value is not None and math.isfinite(value) else None
        trial.why, trial.ended_s = event.why, time_s
        self._move(trial, event.state)
        if event.state == "finished" and trial.value is not None:
            best = None if self.best is None else self.trials[self.best].value
            if self.is_better(trial.value, best):
                self.best = trial.number
                self.bests.append(trial.number)

    def _end(self, event: Ended) -> None:
        live = sum(self.count_by_state.get(state, 0) for state in ("queued", "running", "paused"))
        if live:
            raise TransitionError(
                f"A search ends when every trial has, but {live} have not: running"
                f" {sorted(self.running)}, paused {sorted(self.paused)}. Stop them first."
            )
        self.ended = event

    def _act(self, event: e.Acted, time_s: float) -> None:
        if event.id in self._known_actions:
            raise TransitionError(f"An action is carried out once, but {event.id!r} came again.")
        self.allow(event.action)
        match event.action:
            case e.SetTrials(trials=trials):
                self._limit(trials=trials)
            case e.SetConcurrency(concurrency=concurrency):
                self._limit(concurrency=concurrency)
            case e.SetTimeBudget(time_budget_s=budget):
                self._limit(time_budget_s=budget)
            case e.SetRange(parameter=name, dimension=dimension):
                self.space = self.space.ranged(name, dimension)
                self.range_version += 1
                self.is_exhausted = False
            case e.SetPriority(trial=number, priority=priority):
                trial = self.trials[number]
                trial.priority = priority
                if trial.state == "queued":
                    self._enter_queue(trial)
            case e.StopTrial(trial=number):
                self._wish(number, "stop")
            case e.PauseTrial(trial=number):
                self._wish(number, "pause")
            case e.ResumeTrial(trial=number):
                self._wish(number, "resume")
            case e.Restart(trial=number):
                if not self.trials[number].is_over:
                    self._wish(number, "stop")
            case e.SetLearningRate(trial=number, learning_rate=rate):
                self.trials[number].learning_rate = rate
            case e.StopSearch():
                self.is_stopping = True
        if isinstance(event.action, _CREATING):
            self.to_create[event.id] = event
        self._note_action(event, time_s)

    def _note_action(self, event: e.Acted | e.ActionRefused, time_s: float) -> None:
        self._known_actions.add(event.id)
        self.actions.append((time_s, event))

    def _limit(self, **changes: Any) -> None:
        self.limits = msgspec.structs.replace(self.limits, **changes)

    def _wish(self, number: int, wish: Wish) -> None:
        if self.trials[number].wish != "stop":
            self.trials[number].wish = self.wishes[number] = wish

    def _expect(self, event: object, number: int, *states: str) -> Trial:
        trial = self.trial(number)
        if trial.state not in states:
            raise TransitionError(
                f"{type(event).__name__} is for trials that are {' or '.join(sorted(states))}, but"
                f" trial {number} is {trial.state}."
            )
        return trial

    def _move(self, trial: Trial, state: State) -> None:
        if trial.state == "running":
            for engine in self.running.pop(trial.number):
                del self._engines[engine]
        self.paused.discard(trial.number)
        trial.paused_for = None
        self._count(trial.state, -1)
        self._count(state, 1)
        trial.state = state
        if state == "running":
            self.running[trial.number] = trial.engines
            self._engines.update(dict.fromkeys(trial.engines, trial.number))
        elif state == "queued":
            self._enter_queue(trial)
        elif state == "paused":
            self.paused.add(trial.number)
        if trial.is_over or _FULFILLED.get(state) == trial.wish:
            trial.wish = ""
            self.wishes.pop(trial.number, None)

    def _count(self, state: State, change: int) -> None:
        self.count_by_state[state] = self.count_by_state.get(state, 0) + change

    def _enter_queue(self, trial: Trial) -> None:
        heapq.heappush(self._queue, (-trial.priority, trial.number))


def _check_limit(limit: float | None) -> None:
    if limit is not None and limit < 0:
        raise TransitionError(f"A limit is 0 or more, or None for no end, but got {limit}.")


def _check_rate(rate: float) -> None:
    if not (math.isfinite(rate) and rate > 0):
        raise TransitionError(f"A learning rate is finite and above 0, but got {rate}.")


def _expect_checkpoint(parent: Trial, what: str, *, is_needed: bool) -> None:
    if is_needed and not parent.checkpoint:
        raise TransitionError(
            f"{what} begins warm with its parent's checkpoint, but trial {parent.number} has none."
            " Give warm=False, or wait for its first checkpoint."
        )


_CREATING = (e.Enqueue, e.Clone, e.Restart, e.Promote)
_FULFILLED: dict[str, Wish] = {"paused": "pause", "queued": "resume"}
_OF_A_SEARCH = (
    e.TrialCreated,
    e.TrialStarted,
    e.RunOpened,
    e.Reported,
    e.TrialCheckpointed,
    e.TrialPaused,
    e.TrialResumed,
    e.TrialCrashed,
    e.TrialEnded,
    e.SamplerExhausted,
    e.AtWork,
    e.Acted,
    e.ActionRefused,
    Ended,
)
