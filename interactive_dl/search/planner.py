"""What to do next: a pure decision from the book, the engines and the time.

Whoever runs the search calls ``plan`` after every change and carries out what it says. A decision
comes again until the book says that it was done; who carries it out remembers what is under way.

Nothing starves. Trials start in the order of the queue: those of higher priority first, then the
oldest. One that needs more engines than are free keeps those it can use, and the trials behind it
do not overtake it there. A trial that crashed goes to engines that it has not crashed on, as long
as there are enough of them.
"""

from __future__ import annotations

from collections.abc import Collection
from contextlib import closing
from dataclasses import dataclass

from interactive_dl.search import events as e
from interactive_dl.search.book import Book, Trial


@dataclass(frozen=True)
class Start:
    """Start a trial on these engines, free ones, by rank."""

    trial: int
    engines: tuple[int, ...]


@dataclass(frozen=True)
class Ask:
    """Ask the sampler for a point, and create a trial of it, or say that it is exhausted."""


@dataclass(frozen=True)
class Create:
    """Create the trial that a person has asked for."""

    event: e.TrialCreated


@dataclass(frozen=True)
class Stop:
    """Tell a running trial to stop."""

    trial: int
    why: str


@dataclass(frozen=True)
class Pause:
    """Let a trial go off its engines after a checkpoint; one that waits is paused at once.

    Attributes:
        trial: its number.
        for_trial: the promotion that needs its engines.
    """

    trial: int
    for_trial: int | None = None


@dataclass(frozen=True)
class Resume:
    """Let a paused trial wait for engines again."""

    trial: int


@dataclass(frozen=True)
class End:
    """Write that a trial which is not running is over."""

    trial: int
    state: e.EndState
    why: str


@dataclass(frozen=True)
class Finish:
    """Write that the search is over."""

    outcome: str
    reason: str


Decision = Start | Ask | Create | Stop | Pause | Resume | End | Finish


def plan(
    book: Book, free: Collection[int], living: Collection[int], now_s: float
) -> list[Decision]:
    """What to do next.

    Args:
        book: of a search that has begun.
        free: engines that take a trial now.
        living: all engines of the search, the busy ones as well.
        now_s: seconds since the epoch, by the clock of the records.

    Returns:
        decisions that do not depend on one another; at most one ``Ask``, and none while a waiting
        trial could take the engine.
    """
    if book.began is None or book.ended is not None:
        return []
    if reason := _why_to_stop(book, now_s):
        return _stop_all(book, reason)
    if book.to_create:
        return [_create(book, next(iter(book.to_create.values())), len(living))]
    decisions = [*_granted(book, len(living)), *_started(book, free, living)]
    if not decisions and _is_done(book):
        return [Finish("finished", f"{len(book.trials)} trials")]
    return decisions


def _why_to_stop(book: Book, now_s: float) -> str:
    budget_s = book.limits.time_budget_s
    if book.is_stopping:
        return "the search was stopped"
    if budget_s is not None and book.worked_s(now_s) >= budget_s:
        return f"the time budget of {budget_s:g} s is spent"
    return ""


def _stop_all(book: Book, reason: str) -> list[Decision]:
    running: list[Decision] = [Stop(number, reason) for number in book.running]
    with closing(book.next_queued()) as queued:
        waiting: list[Decision] = [End(trial.number, "stopped", reason) for trial in queued]
    paused: list[Decision] = [End(number, "stopped", reason) for number in sorted(book.paused)]
    outcome = "stopped" if book.is_stopping else "finished"
    return [*running, *waiting, *paused] or [Finish(outcome, reason)]


def _create(book: Book, acted: e.Acted, engines: int) -> Decision:
    """The trial that an action asks for."""
    number, id = len(book.trials), acted.id
    match acted.action:
        case e.Enqueue(params=params, priority=priority):
            made = e.TrialCreated(number, params, "person", priority=priority, action=id)
        case e.Clone(trial=parent, params=params, warm=warm):
            made = e.TrialCreated(number, params, "clone", parent, warm, action=id)
        case e.Restart(trial=parent):
            params = dict(book.trial(parent).params)
            made = e.TrialCreated(number, params, "clone", parent, action=id)
        case e.Promote(trial=parent, how=how, warm=warm, engines=count):
            params = dict(book.trial(parent).params)
            first = 1 + max((one.priority for one in book.trials), default=0)
            made = e.TrialCreated(
                number,
                params,
                "promotion",
                parent,
                warm,
                priority=first,
                needs=count or engines,
                action=id,
                promotion=how,
            )
        case other:
            raise TypeError(f"{type(other).__name__} creates no trial")
    return Create(made)


def _granted(book: Book, engines: int) -> list[Decision]:
    """What people want of trials, as far as it has not happened."""
    decisions: list[Decision] = []
    for number, wish in book.wishes.items():
        is_running = number in book.running
        if wish == "stop":
            why = "stopped by hand"
            decisions.append(Stop(number, why) if is_running else End(number, "stopped", why))
        elif wish == "pause":
            decisions.append(Pause(number))
        elif wish == "resume":
            decisions.append(Resume(number))
    return decisions + [
        Resume(number) for number in sorted(book.paused) if _may_return(book, number, engines)
    ]


def _may_return(book: Book, number: int, engines: int) -> bool:
    """Whether the promotion that a trial waits for is out of its way, or cannot start now."""
    trial = book.trials[number]
    if trial.wish or trial.paused_for is None:
        return False
    promoted = book.trials[trial.paused_for]
    if promoted.state == "queued":
        return _needs(promoted, book.limits) > engines
    return promoted.state != "running"


def _cleared(book: Book, promoted: Trial) -> list[Decision]:
    """Trials that give way to a promotion which waits; one promotion waits for another's end."""
    running = (book.trials[number] for number in book.running)
    return [
        Pause(one.number, promoted.number)
        for one in running
        if not one.wish and one.promotion is None
    ]


def _started(book: Book, free: Collection[int], living: Collection[int]) -> list[Decision]:
    limits = book.limits
    left = sorted(set(free) - {engine for taken in book.running.values() for engine in taken})
    places = (len(living) if limits.concurrency is None else limits.concurrency) - len(book.running)
    decisions: list[Decision] = []
    waits = False
    with closing(book.next_queued()) as queued:
        for trial in queued:
            if trial.wish:
                continue
            if poison := _poison(trial, limits):
                decisions.append(End(trial.number, "quarantined", poison))
                continue
            if _needs(trial, limits) > len(living):
                continue  # it waits for healing, and nobody for it
            if places <= 0 or not left:
                waits = True
                if trial.promotion is not None:
                    decisions += _cleared(book, trial)
                break
            chosen, is_complete = _choose(trial, _needs(trial, limits), left, living)
            left = [engine for engine in left if engine not in chosen]
            if is_complete:
                decisions.append(Start(trial.number, chosen))
                places -= 1
            else:
                waits = True
                if trial.promotion is not None:
                    decisions += _cleared(book, trial)
                    break
    if not waits and places > 0 and len(left) >= limits.engines_per_trial and _may_ask(book):
        decisions.append(Ask())
    return decisions


def _needs(trial: Trial, limits: e.Limits) -> int:
    return limits.engines_per_trial if trial.needs is None else trial.needs


def _choose(
    trial: Trial, count: int, free: list[int], living: Collection[int]
) -> tuple[tuple[int, ...], bool]:
    """Engines for a trial, and whether they are enough; if not, they are kept for it.

    As many live, at least.
    """
    clean = set(living) - trial.crashed_on
    able = clean if len(clean) >= count else set(living)
    chosen = tuple(engine for engine in free if engine in able)[:count]
    return chosen, len(chosen) == count


def _poison(trial: Trial, limits: e.Limits) -> str:
    """Why a trial that waits is not started again; empty where it is."""
    if len(trial.crashed_on) >= limits.crashes:
        return f"crashed on {len(trial.crashed_on)} engines: {sorted(trial.crashed_on)}"
    if trial.crashes >= limits.attempts:
        return f"crashed {trial.crashes} times, on engines {sorted(trial.crashed_on)}"
    return ""


def _may_ask(book: Book) -> bool:
    limit = book.limits.trials
    return not book.is_exhausted and (limit is None or book.sampled < limit)


def _is_done(book: Book) -> bool:
    live = sum(book.count_by_state.get(state, 0) for state in ("queued", "running", "paused"))
    return live == 0 and not _may_ask(book)
