"""What a person types for a point, or for a range."""

from __future__ import annotations

import pytest

from interactive_dl.errors import SpaceError
from interactive_dl.search.ranges import choice, fixed, integer, log_uniform, uniform
from interactive_dl.search.space import Space
from interactive_dl_widgets.fake_search import SPACE
from interactive_dl_widgets.views import form
from tests.unit.widgets.searches import ADAM, SGD, add, begun

TYPED = {"lr": "1e-3", "optimizer": "adam", "dropout": "0.1", "layers": "3", "momentum": ""}


def test_there_is_a_field_for_each_parameter_with_its_range() -> None:
    fields = {one.name: one for one in form.fields(SPACE)}
    assert fields["optimizer"].options == ("adam", "sgd")
    assert fields["lr"].hint == "log_uniform(1e-05, 0.1)"
    assert fields["momentum"].hint == "uniform(0.0, 0.99) where optimizer=sgd"
    assert fields["batch_size"].is_fixed


def test_fields_begin_with_a_trial_or_the_middle_of_the_ranges() -> None:
    assert form.texts(SPACE, SGD)["momentum"] == "0.9"
    assert form.texts(SPACE)["layers"] == "3"
    assert form.texts(SPACE)["lr"] == "0.001"


def test_what_was_typed_becomes_a_point() -> None:
    assert form.point(SPACE, TYPED) == ADAM
    assert form.point(SPACE, {**TYPED, "optimizer": "sgd", "momentum": "0.9"}) == SGD


def test_a_parameter_is_there_where_what_it_depends_on_was_chosen() -> None:
    assert not form.there(SPACE, TYPED)["momentum"]
    assert form.there(SPACE, {**TYPED, "optimizer": "sgd"})["momentum"]


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        ({"lr": "fast"}, "lr is a number"),
        ({"lr": ""}, "lr is a number"),
        ({"lr": "7"}, "must lie in its range"),
        ({"layers": "2.5"}, "layers is a whole number"),
        ({"layers": "9"}, "must lie in its range"),
        ({"optimizer": "lion"}, "optimizer is one of adam, sgd"),
        ({"optimizer": "sgd", "momentum": ""}, "momentum is a number"),
    ],
)
def test_what_is_wrong_is_said(typed: dict, says: str) -> None:
    book = begun().book
    assert says in form.problem(book, None, {**TYPED, **typed})
    with pytest.raises(SpaceError, match=says):
        form.point(book.space, {**TYPED, **typed})


def test_nothing_is_wrong_with_a_point_of_the_space() -> None:
    assert form.problem(begun().book, None, TYPED) == ""


def test_a_clone_has_the_edits_alone() -> None:
    search = begun()
    add(search, {**ADAM, "lr": 0.001234567891})
    typed = form.texts(search.book.space, search.book.trials[0].params)
    assert form.edits(search.book, 0, typed) == {}
    assert form.edits(search.book, 0, {**typed, "lr": "0.01"}) == {"lr": 0.01}
    more = {**typed, "optimizer": "sgd", "momentum": "0.5"}
    assert form.edits(search.book, 0, more) == {"optimizer": "sgd", "momentum": 0.5}


def test_a_clone_of_what_is_outside_of_a_range_by_now_is_a_problem() -> None:
    search = begun()
    add(search, ADAM)
    typed = form.texts(search.book.space, ADAM)
    search.book.space = search.book.space.ranged("dropout", uniform(0.2, 0.3))
    assert "dropout" in form.problem(search.book, 0, typed)
    assert form.problem(search.book, 0, {**typed, "dropout": "0.25"}) == ""


@pytest.mark.parametrize(
    ("dimension", "typed", "left"),
    [
        (log_uniform(1e-5, 1e-1), ("1e-6", "0.5"), log_uniform(1e-6, 0.5)),
        (integer(1, 5), ("2", "9"), integer(2, 9)),
        (choice("adam", "sgd"), "adam, lion, 3, 0.5, True", choice("adam", "lion", 3, 0.5, True)),
        (fixed(64), "64, 128", choice(64, 128)),
        (fixed(64), "128", fixed(128)),
    ],
)
def test_a_range_is_typed(dimension, typed, left) -> None:
    assert form.ranged("a", dimension, typed) == left
    assert form.ranged("a", left, form.ends(left)) == left


@pytest.mark.parametrize(
    ("dimension", "typed"),
    [
        (uniform(0, 1), ("1", "0")),
        (uniform(0, 1), ("a", "0")),
        (integer(1, 5), ("1", "5.5")),
        (choice("a"), ""),
        (log_uniform(1, 2), ("0", "2")),
    ],
)
def test_a_range_that_makes_no_sense_is_refused(dimension, typed) -> None:
    with pytest.raises(SpaceError):
        form.ranged("a", dimension, typed)


def test_a_condition_outlives_a_new_range() -> None:
    space = Space.of({"a": choice("x", "y"), "b": uniform(0, 1).when(a="x")})
    assert form.ranged("b", space.dimensions["b"], ("0", "2")).conditions


def test_an_empty_limit_is_none() -> None:
    assert form.whole("trials", " ") is None
    assert form.number("budget", "1.5") == 1.5
    with pytest.raises(SpaceError, match="a whole number"):
        form.whole("trials", "many")
