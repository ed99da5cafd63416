"""Searches that do what a test says."""

from __future__ import annotations

from interactive_dl.search import events as e
from interactive_dl_widgets.fake_search import FakeSearch, SearchPlan

ADAM = {"lr": 1e-3, "optimizer": "adam", "dropout": 0.1, "layers": 3, "batch_size": 64}
SGD = {**ADAM, "optimizer": "sgd", "momentum": 0.9}


def begun(**plan: object) -> FakeSearch:
    """A search without engines of its own: its sampler makes nothing."""
    return FakeSearch(SearchPlan(**{"trials": None, "engines": 0, **plan})).begin()  # type: ignore[arg-type]


def add(search: FakeSearch, params: dict, *, start: bool = True) -> int:
    """A trial that a sampler made; its number."""
    number = len(search.book.trials)
    search.feed(e.TrialCreated(number, params))
    if start:
        search.feed(e.TrialStarted(number, (number % 4,)))
    return number


def report(search: FakeSearch, number: int, *values: float) -> None:
    """Values of the metric, at the next steps."""
    first = len(search.book.trials[number].reports) + 1
    for step, value in enumerate(values, first):
        search.feed(e.Reported(number, step, {"val_loss": value, "val_accuracy": 1 - value}))


def finish(search: FakeSearch, params: dict, value: float, state: e.EndState = "finished") -> int:
    """A trial that has ended with a value; its number."""
    number = add(search, params)
    report(search, number, value)
    search.feed(e.TrialEnded(number, state))
    return number
