"""What the driver does with what it hears: no sockets, no threads, no clock of its own."""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import NamedTuple, Protocol

from interactive_dl.search import actions, events, planner, population, samplers, words
from interactive_dl.search.book import Trial
from interactive_dl.search.driver._keeper import Keeper
from interactive_dl.telemetry.events import Ended, Number

DEATH_S = 0.5
"""So long after an engine's death its last words may still come,"""
SILENCE_S = 5.0
"""and so long after a task was sent its engine should have begun with it."""
QUIET_S = 60.0
"""So long without a record, and one says that the search is worked on."""
REST_S = 1.0
"""So long after an attempt to replace the dead comes the next."""
_BUSY = "its engine was busy with something else"
_LOG = logging.getLogger(__name__)


class Asked(NamedTuple):
    """Somebody asks for an action."""

    id: str
    who: str
    action: events.AnyAction


class Told(NamedTuple):
    """An engine told something of an attempt."""

    engine: int
    word: words.AnyWord


class TaskFailed(NamedTuple):
    """A task could not be carried out on an engine, whatever it told."""

    trial: int
    attempt: int
    why: str


class Vacated(NamedTuple):
    """The engines are taken away, and by whom; ``id`` is the command's."""

    id: str
    who: str


class Hands(Protocol):
    """What the conductor moves things with."""

    def living(self) -> tuple[int, ...]:
        """Engines that take tasks, by id."""

    def size(self) -> int:
        """How many engines there are, with those that have died and are to be replaced."""

    def busy(self) -> Collection[int]:
        """Engines that have something to do for others than this search, now or next."""

    def start(self, task: words.Task) -> None:
        """Send a task to its engines."""

    def order(self, order: words.Leave | words.SetRate | words.Withdraw) -> None:
        """Pass an order on to the engines."""

    def answer(self, id_: str, refusal: str) -> None:
        """Tell the recorder what came of an action; an empty refusal if it was carried out."""

    def lacks(self) -> bool:
        """Whether engines have died and were not replaced."""

    def mend(self, sponsor: int) -> None:
        """Begin to replace the dead through a free engine, without waiting."""

    def is_mending(self) -> bool:
        """Whether that is under way."""


@dataclass
class _Attempt:
    """A running trial, as this process knows it."""

    number: int
    engines: tuple[int, ...]
    sent_s: float
    patience_s: float = SILENCE_S
    has_begun: bool = False
    is_to_be_withdrawn: bool = False
    is_withdrawn: bool = False
    returned: dict[int, words.Returned] = field(default_factory=dict)
    failed: str = ""
    deadline_s: float | None = None
    ordered: set[words.Reason] = field(default_factory=set)
    early: list[words.Leave | words.SetRate] = field(default_factory=list)
    why: str = ""
    for_trial: int | None = None


class Conductor:
    """Carries a search out.

    Args:
        keeper: of its journal; the search has begun.
        hands: what to move things with.
        folder: of the search's files.
        now_s: seconds since the epoch.
    """

    def __init__(self, keeper: Keeper, hands: Hands, folder: Path, now_s: float) -> None:
        self._keeper = keeper
        self._book = keeper.book
        self._hands = hands
        self._folder = folder
        self._now_s = now_s
        self._sponsor: int | None = None
        self._vacated_by = ""
        self._mended_s = now_s - REST_S
        self._attempts = {
            number: _Attempt(len(self._book.trials[number].attempts), engines, now_s)
            for number, engines in self._book.running.items()
        }

    @property
    def is_over(self) -> bool:
        """Whether the search has ended, or has let go of all engines."""
        return self._book.ended is not None or (bool(self._vacated_by) and not self._attempts)

    def take(self, heard: Asked | Told | TaskFailed | Vacated, now_s: float) -> None:
        """Take in what was heard; ``advance`` acts on it."""
        self._now_s = now_s
        match heard:
            case Asked():
                self._answer(heard)
            case Told(engine, word):
                self._take_word(engine, word)
            case TaskFailed(number, attempt, why):
                current = self._attempts.get(number)
                if current is not None and current.number == attempt:
                    current.failed = current.failed or why
            case Vacated(id, who):
                self._vacate(who)
                self._hands.answer(id, "")

    def advance(self, now_s: float) -> None:
        """Settle what is over, and do what is to be done next."""
        self._now_s = now_s
        if not self.is_over and now_s >= self._keeper.written_s + QUIET_S:
            self._keeper.write(events.AtWork())
        living, busy = self._hands.living(), self._hands.busy()
        for number in list(self._attempts):
            self._settle(number, living, busy)
        if self._vacated_by:
            return
        idle = [engine for engine in living if engine not in busy]
        free = [engine for engine in idle if engine != self._sponsor_of(idle)]
        while not self.is_over:
            decisions = planner.plan(self._book, free, living, now_s)
            if not sum(self._do(decision) for decision in decisions):
                return

    def _sponsor_of(self, idle: Collection[int]) -> int | None:
        """The engine that starts the replacements of dead ones, and is kept from trials while it
        does; None where there is nothing to replace, or none is free yet.
        """
        if self._sponsor is not None and not self._hands.is_mending():
            self._sponsor, self._mended_s = None, self._now_s
        if self._sponsor is None and self._hands.lacks() and self._now_s >= self._mended_s + REST_S:
            taken = {engine for attempt in self._attempts.values() for engine in attempt.engines}
            self._sponsor = next((engine for engine in idle if engine not in taken), None)
            if self._sponsor is not None:
                self._hands.mend(self._sponsor)
        return self._sponsor

    # -- what is heard ----------------------------------------------------------------------------

    def _answer(self, asked: Asked) -> None:
        size = self._hands.size()
        event = actions.answer(self._book, asked.id, asked.who, asked.action, size)
        if event is not None:
            self._keeper.write(event)
        refusal = event.reason if isinstance(event, events.ActionRefused) else ""
        self._hands.answer(asked.id, refusal)
        if isinstance(event, events.Acted) and isinstance(event.action, events.SetLearningRate):
            number = event.action.trial
            attempt = self._attempts[number]
            rate = event.action.learning_rate
            self._pass_on(attempt, words.SetRate(number, attempt.number, rate))

    def _vacate(self, who: str) -> None:
        """Have all trials leave, after a checkpoint; nothing is started any more."""
        self._vacated_by = who
        for number, attempt in self._attempts.items():
            self._order(number, attempt, "pause")

    def _take_word(self, engine: int, word: words.AnyWord) -> None:
        attempt = self._attempts.get(word.trial)
        if attempt is None or attempt.number != word.attempt:
            return
        match word:
            case words.Began():
                attempt.has_begun = True
                for order in attempt.early:
                    self._hands.order(order)
            case words.Withdrawn():
                attempt.is_withdrawn = True
            case words.OpenedRun(run=run):
                if self._book.trials[word.trial].attempts[-1].run != run:
                    self._keeper.write(events.RunOpened(word.trial, run))
            case words.Saved(step=step, path=path):
                trial = self._book.trials[word.trial]
                if not trial.checkpoint or step > trial.checkpoint_step:
                    self._keeper.write(events.TrialCheckpointed(word.trial, step, path))
            case words.Reports():
                self._take_report(attempt, word)
            case words.Returned():
                attempt.returned[engine] = word

    def _take_report(self, attempt: _Attempt, word: words.Reports) -> None:
        """Judge it, once: others have come further by the time that a restarted driver hears it."""
        trial = self._book.trials[word.trial]
        if trial.reports.get(word.step) != word.metrics:
            self._keeper.write(self._judged(attempt, trial, word))
        if trial.pruning is not None and not attempt.ordered:
            self._order(trial.number, attempt, "prune")

    def _judged(self, attempt: _Attempt, trial: Trial, word: words.Reports) -> events.Reported:
        assert self._book.began is not None
        metric = self._book.began.metric
        if metric not in word.metrics or trial.promotion is not None:
            return events.Reported(word.trial, word.step, word.metrics)
        value = word.metrics[metric]
        is_hopeless, notes = self._keeper.judge(trial.number, word.step, value)
        pruning = None
        if attempt.ordered:
            pass  # it leaves already
        elif (exploit := self._exploit(word, value)) is not None:
            why = f"gave way to a copy of trial {exploit.parent} at step {word.step}"
            pruning = events.Pruning(why, exploit.parent, exploit.params)
        elif is_hopeless:
            pruning = events.Pruning(f"hopeless at step {word.step}")
        return events.Reported(word.trial, word.step, word.metrics, notes, pruning)

    def _exploit(self, word: words.Reports, value: Number) -> population.Exploit | None:
        """In population-based training: whether a trial that has just reported gives way."""
        began = self._book.began
        assert began is not None
        options = began.pruner_options
        if began.pruner != "population" or word.step % options.get("every", 1):
            return None
        random = Random(samplers.seed_of(began.seed, word.trial) + word.step)
        fraction = options.get("fraction", 0.25)
        return population.decide(
            self._book, word.trial, word.step, value, random, fraction=fraction
        )

    # -- what is over -----------------------------------------------------------------------------

    def _settle(self, number: int, living: Collection[int], busy: Collection[int]) -> None:
        attempt = self._attempts[number]
        if attempt.is_withdrawn:
            del self._attempts[number]
            event = events.TrialCrashed(number, attempt.engines, _BUSY, is_blamed=False)
            self._keeper.write(event)
            return
        first = attempt.returned.get(attempt.engines[0])
        if first is not None and first.outcome in ("finished", "left"):
            self._end(number, first)
            return
        dead = [one for one in attempt.engines if one not in living]
        silent = [one for one in attempt.engines if one not in attempt.returned]
        if not silent or dead or attempt.failed:
            if attempt.deadline_s is None:
                attempt.deadline_s = self._now_s + (DEATH_S if silent else 0.0)
            if self._now_s >= attempt.deadline_s:
                self._fail(number, attempt, dead)
        elif not attempt.has_begun and self._is_in_vain(attempt, busy):
            attempt.is_to_be_withdrawn = True
            (engine,) = attempt.engines
            self._hands.order(words.Withdraw(number, attempt.number, engine))
        elif not attempt.has_begun and self._now_s >= attempt.sent_s + attempt.patience_s:
            _LOG.warning("Trial %d has not begun on %s; sent again.", number, attempt.engines)
            attempt.patience_s *= 2  # something else may keep its engine busy
            self._send(number)

    def _is_in_vain(self, attempt: _Attempt, busy: Collection[int]) -> bool:
        """Whether it waits behind somebody else's task, and can be had back; once for each.

        Of a group, some may have begun and wait for the others: that goes on when these are free.
        """
        is_alone = len(attempt.engines) == 1
        return is_alone and attempt.engines[0] in busy and not attempt.is_to_be_withdrawn

    def _end(self, number: int, returned: words.Returned) -> None:
        attempt = self._attempts.pop(number)
        trial = self._book.trials[number]
        if returned.outcome == "finished" and returned.value is None and trial.last is None:
            self._keeper.write(events.TrialEnded(number, "failed", self._no_value()))
        elif returned.outcome == "finished":
            self._keeper.write(events.TrialEnded(number, "finished", "", returned.value))
        elif returned.reason == "pause" and self._vacated_by and not trial.wish:
            why = f"taken off its engines by {self._vacated_by}"
            event = events.TrialCrashed(number, attempt.engines, why, is_blamed=False)
            self._keeper.write(event)
        elif returned.reason == "pause" and trial.wish != "stop":
            self._keeper.write(events.TrialPaused(number, attempt.for_trial))
        elif returned.reason == "prune":
            assert trial.pruning is not None
            self._keeper.write(events.TrialEnded(number, "pruned", trial.pruning.why))
            if trial.pruning.parent is not None:
                self._replace(trial, trial.pruning)
        else:
            why = attempt.why or "stopped by hand"
            self._keeper.write(events.TrialEnded(number, "stopped", why))

    def _replace(self, trial: Trial, pruning: events.Pruning) -> None:
        """A member of the population goes on from another's checkpoint."""
        event = events.TrialCreated(
            len(self._book.trials),
            pruning.params,
            "exploit",
            pruning.parent,
            warm=True,
            priority=trial.priority,
            needs=trial.needs,
        )
        self._keeper.write(event)

    def _no_value(self) -> str:
        assert self._book.began is not None
        metric = self._book.began.metric
        return (
            f"A trial is judged by its {metric!r}, but it returned no finite number and reported"
            f" none: trial.report(step, {metric}=...)."
        )

    def _fail(self, number: int, attempt: _Attempt, dead: list[int]) -> None:
        del self._attempts[number]
        raised = [one for one in attempt.returned.values() if one.outcome == "failed"]
        if dead:
            why = attempt.failed or f"engines {dead} died"
            self._keeper.write(events.TrialCrashed(number, tuple(dead), why))
        elif raised:
            self._keeper.write(events.TrialEnded(number, "failed", raised[0].why))
        elif attempt.failed:
            self._keeper.write(events.TrialEnded(number, "failed", attempt.failed))
        else:
            why = next(one.why for one in attempt.returned.values())
            self._keeper.write(events.TrialCrashed(number, attempt.engines, why))

    # -- what is to be done -----------------------------------------------------------------------

    def _do(self, decision: planner.Decision) -> bool:
        """Carry a decision out; whether that was news."""
        match decision:
            case planner.Start(trial=number, engines=engines):
                self._keeper.write(events.TrialStarted(number, engines))
                count = len(self._book.trials[number].attempts)
                self._attempts[number] = _Attempt(count, engines, self._now_s)
                self._send(number)
            case planner.Ask():
                point = self._keeper.ask()
                if point is None:
                    self._keeper.write(events.SamplerExhausted())
                else:
                    number = len(self._book.trials)
                    created = events.TrialCreated(number, point.params, notes=point.notes)
                    self._keeper.write(created)
            case planner.Create(event=event):
                self._keeper.write(event)
            case planner.Stop(trial=number, why=why):
                return self._order(number, self._attempts[number], "stop", why)
            case planner.Pause(trial=number, for_trial=for_trial):
                if number not in self._attempts:
                    self._keeper.write(events.TrialPaused(number, for_trial))
                    return True
                self._attempts[number].for_trial = for_trial
                return self._order(number, self._attempts[number], "pause")
            case planner.Resume(trial=number):
                self._keeper.write(events.TrialResumed(number))
            case planner.End(trial=number, state=state, why=why):
                self._keeper.write(events.TrialEnded(number, state, why))
            case planner.Finish(outcome=outcome, reason=reason):
                self._keeper.write(Ended(outcome, reason))  # type: ignore[arg-type]
        return True

    def _order(self, number: int, attempt: _Attempt, reason: words.Reason, why: str = "") -> bool:
        """Have a trial leave, once for each reason; False: it was told already."""
        if reason in attempt.ordered:
            return False
        attempt.ordered.add(reason)
        attempt.why = why or attempt.why
        self._pass_on(attempt, words.Leave(number, attempt.number, reason))
        return False

    def _pass_on(self, attempt: _Attempt, order: words.Leave | words.SetRate) -> None:
        """An engine that has not begun with the trial may not listen yet: it is told again."""
        if not attempt.has_begun:
            attempt.early.append(order)
        self._hands.order(order)

    def _send(self, number: int) -> None:
        """Send its task; a task that came before is not tried again there."""
        self._attempts[number].sent_s = self._now_s
        self._hands.start(self._task(self._book.trials[number]))

    def _task(self, trial: Trial) -> words.Task:
        began = self._book.began
        assert began is not None
        checkpoint, is_own = trial.checkpoint, bool(trial.checkpoint)
        parent = None if trial.parent is None else self._book.trials[trial.parent]
        begun = 0
        if parent is not None and trial.warm:
            checkpoint = checkpoint or parent.checkpoint
            begun = parent.checkpoint_step if trial.promotion is not None else 0
        attempts = [] if parent is None else parent.attempts
        return words.Task(
            search=self._keeper.search,
            name=began.name,
            trial=trial.number,
            attempt=len(trial.attempts),
            engines=trial.engines,
            params=dict(trial.params),
            metric=began.metric,
            folder=str(self._folder / f"trial-{trial.number}"),
            checkpoint=checkpoint,
            is_own=is_own,
            continues=trial.origin == "exploit",
            promotion=trial.promotion,
            begun=begun,
            parent_engines=len(attempts[-1].engines) if attempts else 1,
            learning_rate=trial.learning_rate,
            memory_bytes=self._book.limits.memory_bytes,
            seed=samplers.seed_of(began.seed, trial.number),
        )
