"""Learning curves of many trials."""

from __future__ import annotations

import math

import numpy as np

from interactive_dl.search import events as e
from interactive_dl_widgets.views import learning
from interactive_dl_widgets.views.learning import COLOURS, MOST_CURVES, Colours
from tests.unit.widgets.searches import ADAM, add, begun, finish, report


def test_a_trial_keeps_its_colour_while_others_come_and_go() -> None:
    colours = Colours()
    colours.share([3, 5, 8])
    assert colours.by_trial == {3: 0, 5: 1, 8: 2}
    colours.share([8, 9])
    assert colours.by_trial == {8: 2, 9: 0}


def test_more_trials_than_colours_share_them_evenly() -> None:
    colours = Colours()
    colours.share(range(2 * COLOURS))
    assert [list(colours.by_trial.values()).count(c) for c in range(COLOURS)] == [2] * COLOURS


def test_without_a_selection_those_that_were_the_best_and_those_that_run_are_shown() -> None:
    search = begun()
    for value in (0.9, 0.5, 0.7, 0.4, 0.3, 0.2):
        finish(search, ADAM, value)
    add(search, ADAM)
    add(search, ADAM, start=False)
    assert learning.shown(search.book, []) == [5, 4, 3, 1, 6]
    assert learning.shown(search.book, [0, 77]) == [0]


def test_a_crowd_is_not_drawn() -> None:
    search = begun()
    for _ in range(MOST_CURVES + 5):
        finish(search, ADAM, 0.5)
    shown = learning.shown(search.book, list(range(MOST_CURVES + 5)))
    assert shown == list(range(5, MOST_CURVES + 5))


def test_what_was_promoted_is_shown_with_its_trial() -> None:
    search = begun()
    finish(search, ADAM, 0.5)
    search.feed(e.TrialCreated(1, ADAM, "promotion", 0, promotion=e.Promotion(9)))
    assert learning.shown(search.book, [0]) == [0, 1]


def test_curves_of_one_colour_have_a_gap_between_them() -> None:
    search, colours = begun(), Colours()
    for _ in range(COLOURS + 1):
        number = add(search, ADAM)
        report(search, number, 0.5, 0.4)
        search.feed(e.TrialEnded(number, "finished"))
    colours.share(range(COLOURS + 1))
    strands = learning.strands(search.book, colours, "val_loss")
    np.testing.assert_array_equal(strands[0].x, [1, 2, math.nan, 1, 2, math.nan])
    np.testing.assert_array_equal(strands[0].y, [0.5, 0.4, math.nan, 0.5, 0.4, math.nan])
    np.testing.assert_array_equal(strands[0].trial, [0, 0, 0, 10, 10, 10])
    assert len(strands[1].x) == 3


def test_what_has_no_place_is_no_point() -> None:
    search, colours = begun(), Colours()
    report(search, add(search, ADAM), 0.5, math.nan, -0.1)
    colours.share([0])
    assert learning.strands(search.book, colours, "val_loss")[0].x.tolist()[:2] == [1, 3]
    log = learning.strands(search.book, colours, "val_loss", log=True)
    assert log[0].x.tolist()[0] == 1
    assert len(log[0].x) == 2
    assert len(learning.strands(search.book, colours, "unknown")[0].x) == 0


def test_metrics_are_those_that_trials_report() -> None:
    search = begun()
    report(search, add(search, ADAM), 0.5)
    assert learning.metric_names(search.book, [0]) == {"val_loss", "val_accuracy"}
    assert learning.metric_names(search.book, []) == set()


def test_rungs_are_marked_as_far_as_the_trials_have_come() -> None:
    search = begun()
    add(search, ADAM)
    assert learning.rungs(search.book, [0]) == []
    report(search, 0, *[0.5] * 10)
    assert learning.rungs(search.book, [0]) == [1, 3, 9]
    assert search.book.began is not None
    search.book.began = type(search.book.began)("a", search.book.space, "val_loss", pruner="median")
    assert learning.rungs(search.book, [0]) == []
