"""What a person asks of a search, answered: a pure decision from the book."""

from __future__ import annotations

import msgspec

from interactive_dl.errors import SearchError, TransitionError
from interactive_dl.search import events as e
from interactive_dl.search.book import Book
from interactive_dl.search.ranges import words


def answer(
    book: Book, id: str, who: str, action: e.AnyAction, engines: int | None = None
) -> e.Acted | e.ActionRefused | None:
    """The event to write for an action.

    Args:
        book: of the search.
        id: of the action, unique; the same one may come twice.
        who: user and host.
        action: what is asked; a clone's parameters may be the edited ones alone, and fixed ones
            may be left out.
        engines: of the cluster; None where that is not known.

    Returns:
        None where this action was answered before.
    """
    if book.has_action(id):
        return None
    try:
        whole = _completed(book, action)
        book.allow(whole)
        _see_that_it_fits(whole, engines)
    except SearchError as error:
        return e.ActionRefused(id, who, action, str(error))
    before, after = _change(book, whole)
    return e.Acted(id, who, whole, before, after)


def _see_that_it_fits(action: e.AnyAction, engines: int | None) -> None:
    match action:
        case e.Promote(engines=wanted) if engines is not None and (wanted or 0) > engines:
            raise TransitionError(
                f"A promotion gets 1 to {engines} engines of this cluster, but got engines="
                f"{wanted}. For all of them leave it out: search.promote(trial, epochs=...)"
            )


def _completed(book: Book, action: e.AnyAction) -> e.AnyAction:
    match action:
        case e.Enqueue(params=params):
            return msgspec.structs.replace(action, params=book.space.complete(params))
        case e.Clone(trial=number, params=edits):
            params = edited(book, number, edits)
            return msgspec.structs.replace(action, params=params)
        case _:
            return action


def edited(book: Book, number: int, edits: dict[str, e.Value]) -> dict[str, e.Value]:
    """A trial's parameters with some changed; those that have no place any more are left out.

    Raises:
        SpaceError: an edit is unknown or outside of its range, or a parameter is missing.
        TransitionError: there is no such trial.
    """
    merged = {**book.trial(number).params, **edits}
    fits = book.space.active(merged)
    return book.space.complete({n: v for n, v in merged.items() if n in fits or n in edits})


def _change(book: Book, action: e.AnyAction) -> tuple[str, str]:
    """Before and after, in a few words."""
    limits = book.limits
    match action:
        case e.SetTrials(trials=after):
            return _limit(limits.trials), _limit(after)
        case e.SetConcurrency(concurrency=after):
            return _limit(limits.concurrency), _limit(after)
        case e.SetTimeBudget(time_budget_s=seconds):
            return _limit(limits.time_budget_s), _limit(seconds)
        case e.SetPriority(trial=number, priority=priority):
            return str(book.trials[number].priority), str(priority)
        case e.SetRange(parameter=name, dimension=dimension):
            return words(book.space.dimensions[name]), words(dimension)
        case e.SetLearningRate(trial=number, learning_rate=rate):
            before = book.trials[number].learning_rate
            return "" if before is None else str(before), str(rate)
        case e.StopTrial(trial=number) | e.PauseTrial(trial=number) | e.ResumeTrial(trial=number):
            return book.trials[number].state, _OUTCOME[type(action)]
        case _:
            return "", ""


def _limit(value: float | None) -> str:
    return "no end" if value is None else str(value)


_OUTCOME: dict[type, str] = {
    e.StopTrial: "stopped",
    e.PauseTrial: "paused",
    e.ResumeTrial: "queued",
}
