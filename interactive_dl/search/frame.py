"""A search as tables: its trials, their curves, and which parameters matter."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from interactive_dl.errors import SearchError
from interactive_dl.search.book import Book, Trial
from interactive_dl.search.study import Study

if TYPE_CHECKING:
    import pandas as pd

_PARAMETER = "param_"


def frame(book: Book) -> pd.DataFrame:
    """One row a trial, by number; a column ``param_NAME`` for each parameter.

    Returns:
        columns state, origin, parent, value, last, best (of the search's metric), steps, duration_s
        (on engines and waiting, until it ended), attempts, crashes, engines (the last ones), why,
        then the parameters.
    """
    import pandas as pd

    names = list(book.space.dimensions)
    rows = [_row(trial, names) for trial in book.trials]
    index = pd.RangeIndex(len(rows), name="trial")
    return pd.DataFrame(rows, index=index, columns=[*_FIXED, *(_PARAMETER + n for n in names)])


def curves(book: Book) -> pd.DataFrame:
    """All reports: columns trial, step, then the metrics by name; rows by trial and step."""
    import pandas as pd

    rows = [
        {"trial": trial.number, "step": step, **metrics}
        for trial in book.trials
        for step, metrics in sorted(trial.reports.items())
    ]
    return pd.DataFrame(rows, columns=None if rows else ["trial", "step"])


def best(book: Book) -> Trial:
    """The best finished trial.

    Raises:
        SearchError: none has finished with a value.
    """
    if book.best is None:
        raise SearchError(
            "The best trial is the best of those that finished with a value, but of"
            f" {len(book.trials)} trials none has. See search.frame()."
        )
    return book.trials[book.best]


def importance(book: Book) -> dict[str, float]:
    """How much of the value's variance each parameter explains, the most important first.

    Parameters that every finished trial of the space has take part.

    Raises:
        SearchError: fewer than two trials have finished with a value.
    """
    import optuna

    study = Study.of(book).projection
    finished = study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,))
    if len({trial.value for trial in finished}) < 2:
        raise SearchError(
            "Importance needs two finished trials or more with different values, but there are"
            f" {len(finished)} finished trials within the ranges."
        )
    seed = 0 if book.began is None else book.began.seed
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=seed)
    found = optuna.importance.get_param_importances(study, evaluator=evaluator)
    return {name: float(share) for name, share in found.items()}


_FIXED = (
    "state",
    "origin",
    "parent",
    "value",
    "last",
    "best",
    "steps",
    "duration_s",
    "attempts",
    "crashes",
    "engines",
    "why",
)


def _row(trial: Trial, names: list[str]) -> dict[str, Any]:
    began_s = trial.attempts[0].began_s if trial.attempts else None
    known = began_s is not None and trial.ended_s is not None
    return {
        "state": trial.state,
        "origin": trial.origin,
        "parent": trial.parent,
        "value": trial.value,
        "last": trial.last,
        "best": trial.best,
        "steps": max(trial.reports, default=0),
        "duration_s": trial.ended_s - began_s if known else None,  # type: ignore[operator]
        "attempts": len(trial.attempts),
        "crashes": trial.crashes,
        "engines": trial.attempts[-1].engines if trial.attempts else (),
        "why": trial.why,
        **{_PARAMETER + name: trial.params.get(name) for name in names},
    }
