"""How far a search is, and what was asked of it."""

from __future__ import annotations

import pytest

from interactive_dl.search import events as e
from interactive_dl.search.book import Book
from interactive_dl.search.ranges import uniform
from interactive_dl.telemetry.events import Ended as SearchEnded
from interactive_dl_widgets.fake_search import FakeSearch, SearchPlan
from interactive_dl_widgets.views.acts import Sent, rows, words
from interactive_dl_widgets.views.eligible import eligible, promotions
from interactive_dl_widgets.views.progress import best_so_far, progress, time_unit
from tests.unit.widgets.searches import ADAM, add, begun, finish


def test_trials_are_counted_by_state_and_the_rest_is_known() -> None:
    search = begun()
    finish(search, ADAM, 0.5)
    finish(search, ADAM, 0.4, "pruned")
    add(search, ADAM)
    search.act(e.SetTrials(8))
    now = progress(search.book, "running", search.book.began_s + 30)
    assert now.counts == (("running", 1), ("finished", 1), ("pruned", 1))
    assert (now.trials, now.done, now.elapsed_s) == (8, 0.25, 30)
    assert (now.best, now.best_value, now.engines) == (0, 0.5, 1)
    assert now.fixed == (("batch_size", 64),)


def test_what_people_add_comes_on_top() -> None:
    search = begun()
    search.act(e.SetTrials(8))
    search.act(e.Enqueue(ADAM))
    assert progress(search.book, "running", 0.0).trials == 9


def test_a_time_budget_that_ends_sooner_says_how_far_it_is() -> None:
    search = begun()
    search.act(e.SetTimeBudget(40))
    assert progress(search.book, "running", search.book.began_s + 30).done == 0.75
    search.act(e.SetTimeBudget(None))
    assert progress(search.book, "running", search.book.began_s + 30).done is None


def test_a_search_without_a_book_is_said_to_wait() -> None:
    now = progress(Book(), "not started", 1.0)
    assert (now.elapsed_s, now.best, now.metric) == (0.0, None, "")
    assert "search.start(" in now.reason
    assert "search.resume(" in progress(Book(), "abandoned", 1.0).reason


def test_after_the_end_time_stands_still() -> None:
    search = begun()
    finish(search, ADAM, 0.5)
    search.feed(SearchEnded("finished", "1 trials"))
    now = progress(search.book, "finished", search.book.began_s + 1000)
    assert now.elapsed_s < 5
    assert now.reason == "1 trials"


def test_the_best_so_far_is_a_staircase_to_the_present() -> None:
    search = FakeSearch(SearchPlan(trials=40, seed=3)).fill(40)
    stairs = best_so_far(search.book, 1000.0)
    assert (stairs.value[:-1] >= stairs.value[1:]).all()
    assert (stairs.time_s[:-1] <= stairs.time_s[1:]).all()
    assert stairs.time_s[-1] == 1000.0
    assert stairs.value[-1] == min(t.value for t in search.book.trials if t.state == "finished")
    assert len(best_so_far(begun().book, 9.0).value) == 0


@pytest.mark.parametrize(("seconds", "unit"), [(10, "s"), (900, "min"), (90_000, "h")])
def test_times_are_counted_in_what_fits(seconds: float, unit: str) -> None:
    assert time_unit(seconds)[0] == unit


def test_an_action_that_was_refused_has_its_reason_and_one_on_its_way_is_pending() -> None:
    search = begun()
    search.act(e.SetTrials(3))
    refused = search.act(e.StopTrial(7), wait=False)
    sent = [
        Sent(e.StopTrial(7), 1e12, id=refused.id),
        Sent(e.SetTrials(9), 1e12 + 1, id="unknown"),
        Sent(e.PauseTrial(1), 1e12 + 2),
        Sent(e.PauseTrial(2), 1e12 + 3, failure="no recorder"),
    ]
    listed = [(row.text, row.answer, row.detail) for row in rows(search.book, sent)]
    assert listed[:3] == [
        ("pause trial 2", "refused", "no recorder"),
        ("pause trial 1", "pending", ""),
        ("let the sampler make 9 trials", "pending", ""),
    ]
    assert [row[1] for row in listed[3:]] == ["refused", "applied"]
    assert "this search has no trials yet" in listed[3][2].lower()
    assert listed[4][2] == "no end → 3"


def test_every_action_has_words() -> None:
    actions = (
        e.SetTrials(None),
        e.SetConcurrency(None),
        e.SetConcurrency(2),
        e.SetTimeBudget(None),
        e.SetTimeBudget(5),
        e.SetPriority(1, 2),
        e.SetRange("lr", uniform(0, 1)),
        e.Enqueue({"lr": 1e-5, "opt": "a"}),
        e.Clone(1, {"lr": 0.1}, warm=True),
        e.Restart(1),
        e.StopTrial(1),
        e.PauseTrial(1),
        e.ResumeTrial(1),
        e.SetLearningRate(1, 0.1),
        e.Promote(1, e.Promotion(5)),
        e.StopSearch(),
    )
    said = [words(action) for action in actions]
    assert len(set(said)) == len(said)
    assert said[7] == "add lr=1e-05, opt=a"
    assert {type(one) for one in actions} == set(e.AnyAction.__args__)


def test_buttons_are_for_those_trials_that_they_fit() -> None:
    search = begun()
    finish(search, ADAM, 0.5)
    add(search, ADAM)
    add(search, ADAM, start=False)
    search.feed(e.TrialPaused(add(search, ADAM)))
    chosen = [0, 1, 2, 3, 99]
    assert eligible(search.book, "stop", chosen) == [1, 2, 3]
    assert eligible(search.book, "pause", chosen) == [1, 2]
    assert eligible(search.book, "resume", chosen) == [3]
    assert eligible(search.book, "rate", chosen) == [1]
    assert eligible(search.book, "restart", chosen) == [0, 1, 2, 3]
    search.feed(e.Acted("x", "ada", e.StopTrial(1)))
    assert eligible(search.book, "stop", chosen) == [2, 3]


def test_promotions_that_live_can_be_demoted() -> None:
    search = begun()
    finish(search, ADAM, 0.5)
    assert promotions(search.book) == []
    search.feed(e.TrialCreated(1, ADAM, "promotion", 0, promotion=e.Promotion(9)))
    assert promotions(search.book) == [1]
    search.feed(e.TrialEnded(1, "stopped"))
    assert promotions(search.book) == []
