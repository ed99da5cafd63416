"""The rows of the table of trials."""

from __future__ import annotations

import math

from interactive_dl.search import events as e
from interactive_dl.search.ranges import choice, uniform
from interactive_dl_widgets.fake_search import FakeSearch, SearchPlan
from interactive_dl_widgets.views.trials import TrialRows, about, columns, row, time_s
from tests.unit.widgets.searches import ADAM, SGD, add, begun, report


def cells(search: FakeSearch, number: int, now_s: float = 0.0) -> dict:
    names = [column.name for column in columns(search.book)]
    return dict(zip(names, row(search.book, number, now_s), strict=True))


def test_a_row_has_what_is_known_of_a_trial() -> None:
    search = begun()
    number = add(search, SGD)
    report(search, number, 0.5, 0.3, 0.4)
    began_s = search.book.trials[0].attempts[0].began_s
    assert cells(search, number, began_s + 7) == {
        "trial": 0,
        "state": "running",
        "step": 3,
        "value": 0.3,
        "last": 0.4,
        "lr": 1e-3,
        "optimizer": "sgd",
        "momentum": 0.9,
        "dropout": 0.1,
        "layers": 3,
        "engines": "0",
        "time": 7.0,
        "about": "",
    }


def test_an_ended_trial_shows_the_value_that_it_is_judged_by() -> None:
    search = begun()
    number = add(search, SGD)
    report(search, number, 0.5, 0.3, 0.4)
    search.feed(e.TrialEnded(number, "finished"))
    assert cells(search, number)["value"] == search.book.trials[number].value == 0.4


def test_a_search_that_has_not_begun_has_no_columns() -> None:
    assert columns(FakeSearch().book) == ()


def test_a_parameter_that_is_not_there_is_empty_and_a_fixed_one_has_no_column() -> None:
    search = begun()
    found = cells(search, add(search, ADAM))
    assert found["momentum"] is None
    assert "batch_size" not in found
    search.act(e.SetRange("batch_size", choice(64, 128)))
    assert cells(search, 0)["batch_size"] == 64
    search.act(e.SetRange("dropout", uniform(0, 0.1)))
    assert "dropout" in cells(search, 0)


def test_what_a_person_wants_of_a_trial_stands_beside_its_state() -> None:
    search = begun()
    add(search, ADAM)
    search.feed(e.Acted("x", "ada", e.StopTrial(0)))
    assert cells(search, 0)["state"] == "running stop"


def test_numbers_that_json_lacks_are_left_out() -> None:
    search = begun()
    number = add(search, ADAM)
    report(search, number, math.nan)
    assert (cells(search, number)["value"], cells(search, number)["step"]) == (None, 1)


def test_about_a_trial_says_where_it_comes_from_and_how_it_went() -> None:
    search = begun()
    add(search, ADAM)
    search.feed(e.TrialCheckpointed(0, 1, "x.keras"))
    search.feed(e.TrialCrashed(0, (0,), "killed"))
    search.act(e.Clone(0, {}, warm=True))
    search.act(e.Enqueue(ADAM, priority=3))
    said = [about(trial) for trial in search.book.trials]
    assert said == ["crashed 1 ×", "clone of 0, warm", "by hand · priority 3"]
    search.feed(e.TrialEnded(0, "failed", "ValueError: NaN\n  at line 7"))
    assert about(search.book.trials[0]) == "crashed 1 × · ValueError: NaN"


def test_time_goes_on_until_a_trial_ends() -> None:
    search = begun()
    add(search, ADAM, start=False)
    trial = search.book.trials[0]
    assert time_s(trial, 1e12) is None
    search.feed(e.TrialStarted(0, (0,)))
    began_s = trial.attempts[0].began_s
    assert time_s(trial, began_s + 2) == 2.0
    search.feed(e.TrialEnded(0, "finished"))
    assert time_s(trial, began_s + 100) < 1.0


def test_only_trials_that_have_changed_are_made_again() -> None:
    search = FakeSearch(SearchPlan(trials=5, crash_rate=0, failure_rate=0)).begin()
    rows = TrialRows()
    search.subscribe(lambda _, records: rows.note(records))
    search.turn()
    assert rows.changed(search.book) == [0, 1, 2, 3]
    assert rows.changed(search.book) == []
    report(search, 2, 0.5)
    search.act(e.SetPriority(1, 5))
    assert rows.changed(search.book) == [1, 2]
    search.act(e.SetTrials(9))
    assert rows.changed(search.book) == []
    search.act(e.Enqueue(ADAM))
    assert rows.changed(search.book) == [4]


def test_another_book_is_made_from_its_beginning() -> None:
    rows = TrialRows()
    one, other = FakeSearch(SearchPlan(trials=9)).fill(9), FakeSearch(SearchPlan(trials=7)).fill(7)
    assert rows.changed(one.book) == list(range(9))
    assert rows.changed(other.book) == list(range(7))
