"""What people asked of a search, and what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from interactive_dl.search import events as e
from interactive_dl.search.ranges import words as range_words
from interactive_dl_widgets.views.commands import Row
from interactive_dl_widgets.views.commands import number as short

if TYPE_CHECKING:
    from interactive_dl.search.book import Book

_SHOWN = 50


@dataclass(frozen=True)
class Sent:
    """An action of this notebook's.

    Attributes:
        action: what was asked.
        time_s: when, in seconds since the epoch.
        id: the search's for it; empty while it is on its way.
        failure: why it did not get there; empty where it did.
    """

    action: e.AnyAction
    time_s: float
    id: str = ""
    failure: str = ""


def rows(book: Book, sent: Sequence[Sent] = ()) -> tuple[Row, ...]:
    """Actions, the newest first; those just sent appear before the search has answered."""
    told = [_row(time_s, event) for time_s, event in book.actions[-_SHOWN:]]
    waiting = [_unanswered(one) for one in sent if not (one.id and book.has_action(one.id))]
    return tuple(sorted([*told, *waiting], key=lambda row: row.sent_s, reverse=True)[:_SHOWN])


def words(action: e.AnyAction) -> str:
    """An action as a person would say it."""
    match action:
        case e.SetTrials(trials=count):
            return (
                "let the sampler make trials without end"
                if count is None
                else (f"let the sampler make {count} trials")
            )
        case e.SetConcurrency(concurrency=count):
            return (
                "run as many at once as there are engines"
                if count is None
                else (f"run {count} at once")
            )
        case e.SetTimeBudget(time_budget_s=budget_s):
            return "no time budget" if budget_s is None else f"time budget {budget_s:g} s"
        case e.SetPriority(trial=trial, priority=priority):
            return f"priority {priority} for trial {trial}"
        case e.SetRange(parameter=name, dimension=dimension):
            return f"{name}: {range_words(dimension)}"
        case e.Enqueue(params=params):
            return f"add {_point(params)}"
        case e.Clone(trial=trial, params=params, warm=warm):
            return f"clone trial {trial}{', warm' if warm else ''}: {_point(params)}"
        case e.Restart(trial=trial):
            return f"restart trial {trial}"
        case e.StopTrial(trial=trial):
            return f"stop trial {trial}"
        case e.PauseTrial(trial=trial):
            return f"pause trial {trial}"
        case e.ResumeTrial(trial=trial):
            return f"resume trial {trial}"
        case e.SetLearningRate(trial=trial, learning_rate=rate):
            return f"learning rate {short(rate)} for trial {trial}"
        case e.Promote(trial=trial, how=how, warm=warm, engines=engines):
            where = "all engines" if engines is None else f"{engines} engines"
            return f"promote trial {trial}{'' if warm else ', anew'}: {how.epochs} epochs, {where}"
        case e.StopSearch():
            return "stop the search"
    raise TypeError(type(action).__name__)


def _point(params: dict[str, e.Value]) -> str:
    return ", ".join(
        f"{name}={short(value) if isinstance(value, float) else value}"
        for name, value in params.items()
    )


def _row(time_s: float, event: e.Acted | e.ActionRefused) -> Row:
    text = words(event.action)
    if isinstance(event, e.ActionRefused):
        return Row(time_s, event.who, text, "refused", event.reason)
    change = f"{event.before or '–'} → {event.after}" if event.after else ""
    return Row(time_s, event.who, text, "applied", change)


def _unanswered(one: Sent) -> Row:
    answer = "refused" if one.failure else "pending"
    return Row(one.time_s, "", words(one.action), answer, one.failure)  # type: ignore[arg-type]
