"""Spaces: what they accept, and what they answer to what they do not."""

from __future__ import annotations

import math
import subprocess
import sys

import msgspec
import numpy as np
import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st

from interactive_dl.errors import SpaceError
from interactive_dl.search import _optuna
from interactive_dl.search.ranges import (
    choice,
    fixed,
    integer,
    log_integer,
    log_uniform,
    uniform,
    widened,
    words,
)
from interactive_dl.search.space import Space

RANGES = [
    uniform(-1, 0.5),
    log_uniform(1e-5, 0.1),
    integer(4, 64, step=4),
    log_integer(1, 1000),
    choice("adam", "sgd", None, True, 1),
    fixed(3),
]
IDS = [words(dimension) for dimension in RANGES]
SPACE = {
    "momentum": uniform(0, 0.99).when(optimizer="sgd"),
    "nesterov": choice(True, False).when(optimizer="sgd"),
    "optimizer": choice("adam", "sgd"),
    "batch_size": 64,
}


@pytest.mark.parametrize("dimension", RANGES, ids=IDS)
@given(fraction=st.floats(0, 1))
def test_every_place_of_a_range_holds_a_value_of_it_that_lies_there(dimension, fraction):
    value = dimension.at(fraction)
    assert dimension.contains(value)
    assert dimension.at(min(1, max(0, dimension.place(value)))) == pytest.approx(value)


@pytest.mark.parametrize("dimension", RANGES[:5], ids=IDS[:5])
@given(fraction=st.floats(0, 1))
def test_optuna_takes_every_value_of_a_range(dimension, fraction):
    value = dimension.at(fraction)
    distribution = _optuna.distribution(dimension)
    assert distribution.to_external_repr(distribution.to_internal_repr(value)) == value
    assert distribution._contains(distribution.to_internal_repr(value))


def test_optuna_need_not_know_fixed_values():
    assert _optuna.distribution(fixed(3)) is None
    log = _optuna.distribution(log_uniform(1e-5, 1))
    assert log == optuna.distributions.FloatDistribution(1e-5, 1, log=True)


def test_a_space_is_the_same_after_json():
    space = Space.of({**SPACE, **{f"p{i}": dimension for i, dimension in enumerate(RANGES)}})
    assert msgspec.json.decode(msgspec.json.encode(space), type=Space) == space


def test_parameters_come_after_those_that_they_depend_on():
    names = list(Space.of(SPACE).dimensions)
    assert names.index("optimizer") < min(names.index("momentum"), names.index("nesterov"))


@given(fractions=st.lists(st.floats(0, 1, exclude_max=True), min_size=4, max_size=4))
def test_a_sample_is_a_point_of_the_space(fractions):
    space = Space.of(SPACE)
    params = space.sample(iter(fractions))
    assert space.contains(params)
    assert space.complete(params) == params
    assert ("momentum" in params) == (params["optimizer"] == "sgd")


def test_fixed_values_may_be_left_out_and_numpy_is_welcome():
    given = {"optimizer": "sgd", "momentum": np.float32(0.5), "nesterov": np.True_}
    params = Space.of(SPACE).complete(given)
    assert params == {"optimizer": "sgd", "momentum": 0.5, "nesterov": True, "batch_size": 64}
    assert type(params["momentum"]) is float
    assert type(params["nesterov"]) is bool


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: uniform(3, 1), r"`low < high`.*low=3.0, high=1.0.*fixed\(3.0\)"),
        (lambda: uniform(0, math.inf), "finite"),
        (lambda: log_uniform(0, 1), "`low > 0`.*low=0.0"),
        (lambda: integer(1, 2.5), r"whole numbers, but got 2.5.*uniform\(\)"),
        (lambda: integer(1, 10, step=4), "step=4"),
        (lambda: log_integer(0, 8), "`low > 0`"),
        (lambda: choice(), "one option or more"),
        (lambda: choice("a", "a"), "all different"),
        (lambda: choice([1], [2]), "string"),
        (lambda: Space.of({}), "one parameter or more"),
        (lambda: Space.of({"a": uniform(0, 1).when(b=1)}), r"'a' has .when\(b=...\)"),
        (lambda: Space.of({"a": 1, "b": uniform(0, 1).when(a=2)}), r"possible.*fixed\(1\)"),
        (
            lambda: Space.of({"a": choice(1, 2).when(b=1), "b": choice(1, 2).when(a=1)}),
            r"circle.*\['a', 'b'\]",
        ),
        (lambda: Space.of(SPACE).ranged("lr", uniform(0, 1)), "one of .*but got 'lr'"),
        (lambda: Space.of(SPACE).complete({"optimizer": "adamw"}), r"choice\('adam', 'sgd'\)"),
        (lambda: Space.of(SPACE).complete({"optimizer": "sgd"}), r"missing \['momentum'"),
        (
            lambda: Space.of(SPACE).complete({"optimizer": "adam", "momentum": 0.5}),
            r"without a place \['momentum'\]",
        ),
    ],
)
def test_errors_name_the_rule_and_what_came(make, says):
    with pytest.raises(SpaceError, match=says):
        make()


def test_true_is_not_one():
    assert not choice(1, 2).contains(True)
    assert not choice(True, False).contains(1)
    assert not integer(0, 2).contains(True)


def test_a_changed_range_keeps_its_conditions():
    space = Space.of(SPACE).ranged("momentum", uniform(0.5, 0.9))
    assert not space.is_active("momentum", {"optimizer": "adam"})
    assert not space.contains({"optimizer": "sgd", "momentum": 0.1, "nesterov": True})


def test_a_choice_may_be_narrowed_although_others_depend_on_it():
    space = Space.of(SPACE).ranged("optimizer", choice("adam"))
    assert space.contains({"optimizer": "adam", "batch_size": 64})


@pytest.mark.parametrize("dimension", RANGES, ids=IDS)
def test_a_widened_range_has_room(dimension):
    outside = "other" if dimension.contains(None) or not hasattr(dimension, "low") else 2000
    wide = widened(dimension, [outside, dimension.at(0.5)])
    assert wide.contains(outside)
    assert wide.contains(dimension.at(0))
    assert widened(dimension, [dimension.at(0.5)]) == dimension


@pytest.mark.parametrize(
    ("dimension", "values", "wide"),
    [
        (uniform(0, 1), ["a", 0.5], choice("a", 0.5)),
        (uniform(0, 1), [True, 0.5], choice(True, 0.5)),
        (integer(1, 5), [0.5, 2], uniform(0.5, 5)),
        (integer(1, 5), [9], integer(1, 9)),
        (log_uniform(0.001, 1), [0.0, 0.5], uniform(0, 1)),
        (log_integer(1, 8), [0, 4], uniform(0, 8)),
        (choice("a"), [0.5], choice("a", 0.5)),
    ],
)
def test_a_range_that_took_the_place_of_another_kind_has_room_as_well(dimension, values, wide):
    assert widened(dimension, values) == wide


def test_a_grid_has_both_ends():
    assert uniform(0, 1).levels(3) == (0, 0.5, 1)
    assert integer(1, 3).levels(10) == (1, 2, 3)
    assert choice("a", "b", "c").levels(2) == ("a", "b", "c")


def test_ranges_are_public_and_load_nothing_heavy():
    program = (
        "import sys, interactive_dl as idl; idl.uniform(0, 1).when(a=1);"
        "assert {'uniform', 'choice', 'fixed', 'log_integer'} <= set(idl.__all__);"
        "sys.exit(' '.join({'optuna', 'numpy', 'pandas', 'sklearn'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stderr.strip() == ""
