"""Parameters on axes, what has ended on them, and what a person marks."""

from __future__ import annotations

import math

import numpy as np
import pytest

from interactive_dl.search import events as e
from interactive_dl.search.ranges import choice, fixed, integer, log_integer, log_uniform, uniform
from interactive_dl.search.space import Space
from interactive_dl_widgets.fake_search import FakeSearch, SearchPlan
from interactive_dl_widgets.views import brushes
from interactive_dl_widgets.views.axes import Axis, axes, narrowed
from interactive_dl_widgets.views.board import Board
from interactive_dl_widgets.views.ended import Ended
from interactive_dl_widgets.views.progress import best_within
from tests.unit.widgets.searches import ADAM, SGD, add, begun, finish

SPACE = Space.of(
    {"lr": log_uniform(1e-4, 1e-2), "opt": choice("a", True, None), "n": integer(1, 9)}
)
LR, OPT, N = axes(SPACE, {})


def test_a_logarithmic_axis_has_factors_of_equal_length() -> None:
    assert LR.place(np.array([1e-4, 1e-3, 1e-2])) == pytest.approx([0, 0.5, 1])
    assert LR.at(0.5) == pytest.approx(1e-3)
    assert [label for _, label in LR.ticks()] == ["0.0001", "0.001", "0.01"]


def test_options_are_counted_and_true_is_not_one() -> None:
    assert [OPT.number(value) for value in ("a", True, None)] == [0, 1, 2]
    assert math.isnan(OPT.number(1))
    assert OPT.ticks() == [
        (pytest.approx(1 / 6), "a"),
        (0.5, "True"),
        (pytest.approx(5 / 6), "None"),
    ]


def test_a_fixed_parameter_has_no_axis() -> None:
    assert axes(Space.of({"a": fixed(3), "b": uniform(0, 1)}), {})[0].name == "b"


def test_an_axis_has_room_for_what_was_seen_outside_of_the_range() -> None:
    lr, opt, n = axes(SPACE, {"lr": [1e-6, None], "opt": ["b"], "n": [12]})
    assert (lr.low, opt.options[-1], n.high) == (1e-6, "b", 12)


@pytest.mark.parametrize(
    ("dimension", "low", "high", "left"),
    [
        (uniform(0, 1), 0.25, 3.0, uniform(0.25, 1)),
        (uniform(0, 1), 0.123456, 0.5, uniform(0.123, 0.5)),
        (uniform(0, 1), 2.0, 3.0, None),
        (log_uniform(1e-5, 1e-1), 1e-9, 1.23456e-3, log_uniform(1e-5, 1.23e-3)),
        (integer(1, 9, step=2), 1.5, 7.9, integer(3, 7, step=2)),
        (integer(1, 9), 3.2, 4.1, None),
        (log_integer(8, 512), 15.5, 128.4, log_integer(16, 128)),
        (choice("a", "b", "c"), 0.6, 2.4, choice("b", "c")),
        (choice("a", "b"), 0.1, 0.9, None),
        (fixed(3), 0, 9, None),
    ],
)
def test_a_brush_narrows_a_range(dimension, low, high, left) -> None:
    assert narrowed(dimension, low, high) == left


def test_conditions_outlive_narrowing() -> None:
    left = narrowed(uniform(0, 1).when(opt="a"), 0.2, 0.4)
    assert left is not None
    assert left.conditions == uniform(0, 1).when(opt="a").conditions


def test_a_box_on_parallel_axes_marks_those_it_covers_or_the_nearest() -> None:
    given = (LR, OPT, N)
    assert brushes.on_parallel(given, (-0.2, 0.3, 0.5, 2.0)) == {"lr": pytest.approx((1e-3, 1e-2))}
    assert set(brushes.on_parallel(given, (0.9, 2.1, 0.1, 0.5))) == {"opt", "n"}
    assert set(brushes.on_parallel(given, (1.1, 1.3, 0.1, 0.5))) == {"opt"}
    assert brushes.on_parallel(given, (0.45, 0.55, 0.1, 0.5)) == {}
    assert brushes.on_parallel(given, (-0.1, 0.1, 0.5, 0.501)) == {"lr": None}


def test_a_box_on_a_scatter_marks_both_axes() -> None:
    marked = brushes.on_scatter(LR, N, (1e-3, 2e-3, 2.2, 4.0))
    assert marked == {"lr": (1e-3, 2e-3), "n": (2.2, 4.0)}
    assert brushes.on_scatter(LR, N, (1e-3, 1e-3, 2.0, 2.0)) == {"lr": None, "n": None}


def test_marks_become_ranges_where_they_change_one() -> None:
    marked = {"lr": (1e-3, 1e-2), "opt": (-0.5, 2.5), "value": (0.0, 1.0)}
    assert brushes.ranges(SPACE, marked) == {"lr": log_uniform(1e-3, 1e-2)}


def test_marks_are_said_in_words() -> None:
    assert brushes.words(LR, (1e-4, 3e-3)) == "lr 0.0001 … 0.003"
    assert brushes.words(OPT, (0.6, 2.5)) == "opt True, None"
    assert brushes.words(OPT, (0.1, 0.2)) == "opt none"


def test_what_has_ended_grows_at_its_end_only() -> None:
    search, ended = begun(), Ended()
    late = add(search, ADAM)
    finish(search, SGD, 0.5)
    ended.add(search.book, range(2))
    assert (ended.number, ended.value) == ([1], [0.5])
    search.feed(e.Reported(late, 1, {"val_loss": 0.4}), e.TrialEnded(late, "pruned"))
    ended.add(search.book, [0, 1])
    assert (ended.number, ended.state) == ([1, 0], ["finished", "pruned"])
    assert ended.numbers("momentum")[0] == 0.9
    assert math.isnan(ended.numbers("momentum")[1])


def test_a_trial_without_a_value_is_on_no_axis() -> None:
    search, ended = begun(), Ended()
    add(search, ADAM)
    search.feed(e.TrialEnded(0, "failed"))
    ended.add(search.book, [0])
    assert ended.number == []


def test_the_best_are_good_and_what_diverged_takes_no_colours() -> None:
    search, ended = begun(), Ended()
    for value in (0.1, 0.2, 0.3, 0.4, 1e9):
        finish(search, ADAM, value)
    ended.add(search.book, range(5))
    assert ended.goodness.tolist() == pytest.approx([1, 2 / 3, 1 / 3, 0, 0])
    assert ended.value_axis.high == 0.4
    assert best_within(ended, 2) == [0, 1]


def test_where_more_is_better_the_greatest_is_good() -> None:
    search, ended = begun(), Ended()
    assert search.book.began is not None
    search.book.began = type(search.book.began)(
        "a", search.book.began.space, "val_loss", direction="maximize"
    )
    for value in (-1e9, 0.1, 0.5, 0.9):
        finish(search, ADAM, value)
    ended.add(search.book, range(4))
    assert best_within(ended, 1) == [3]
    low = ended.value_axis.low
    assert low == 0.1
    assert ended.within({"val_loss": (low, 0.6)}).tolist() == [True, True, True, False]


def test_what_was_drawn_stays_until_colours_or_ranges_change() -> None:
    search, ended = begun(), Ended()
    for _ in range(30):
        finish(search, ADAM, 0.5)
    ended.add(search.book, range(30))
    version = ended.version
    finish(search, ADAM, 0.5)
    ended.add(search.book, [30])
    assert ended.version == version
    finish(search, ADAM, 0.1)
    ended.add(search.book, [31])
    assert ended.version == version + 1
    search.act(e.SetRange("lr", log_uniform(1e-6, 1e-1)))
    ended.add(search.book, [])
    assert ended.version == version + 2
    assert (ended.axis("lr").low, len(ended.numbers("lr"))) == (1e-6, 32)


def test_an_axis_does_not_shrink_with_its_range() -> None:
    search, ended = begun(), Ended()
    finish(search, ADAM, 0.5)
    search.act(e.SetRange("lr", log_uniform(1e-3, 2e-3)))
    search.act(e.SetRange("optimizer", choice("sgd")))
    ended.add(search.book, [0])
    assert (ended.axis("lr").low, ended.axis("lr").high) == (1e-5, 1e-1)
    assert ended.numbers("optimizer").tolist() == [1.0]


def test_trials_lie_within_all_marks_and_the_worst_within_the_end_of_the_value() -> None:
    search, ended = begun(), Ended()
    finish(search, {**ADAM, "lr": 1e-2}, 0.2)
    finish(search, {**ADAM, "lr": 1e-4}, 0.3)
    finish(search, {**ADAM, "lr": 1e-4}, 1e9)
    ended.add(search.book, range(3))
    top = ended.value_axis.high
    assert ended.within({"lr": (1e-5, 1e-3)}).tolist() == [False, True, True]
    assert ended.within({"lr": (1e-5, 1e-3), "val_loss": (0.25, top)}).tolist() == [
        False,
        True,
        True,
    ]
    assert ended.within({"momentum": (0.0, 1.0)}).tolist() == [False, False, False]
    assert ended.within({}).all()


def test_a_crowd_is_sampled_evenly_and_has_the_best() -> None:
    ended = Ended()
    ended.add(FakeSearch(SearchPlan(trials=2000)).fill(2000).book, range(2000))
    chosen = ended.sample(600)
    assert 400 < chosen.sum() < 700
    assert chosen[[ended.number.index(one) for one in best_within(ended, 100)]].all()
    assert np.ptp(np.flatnonzero(chosen)) > 1900
    assert ended.sample(len(ended.number)).all()


def test_many_trials_are_taken_in_once_a_second() -> None:
    search, board = begun(), Board()
    search.subscribe(lambda _, records: board.note(records))
    for count in range(1, 204):
        finish(search, ADAM, 0.5)
        taken = len(board.scene(search.book, (), {}, 100.0).ended.number)
        assert taken == min(count, 200)
    assert len(board.scene(search.book, (), {}, 100.5).ended.number) == 200
    assert len(board.scene(search.book, (), {}, 101.5).ended.number) == 203


def test_another_book_begins_anew() -> None:
    one, other, ended = begun(), begun(), Ended()
    finish(one, ADAM, 0.2)
    finish(other, ADAM, 0.7)
    ended.add(one.book, [0])
    ended.add(other.book, [0])
    assert ended.value == [0.7]


def test_a_logarithmic_axis_has_no_place_for_what_is_not_positive() -> None:
    assert math.isnan(Axis("a", "log", 1.0, 2.0).number(0))
    assert math.isnan(Axis("a", "linear", 0.0, 2.0).number("x"))
