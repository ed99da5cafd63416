"""Learning rates as functions of ranks, epochs and steps."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interactive_dl.engine.schedules import Rule, scale_lr, warmup_factor


@pytest.mark.parametrize(("rule", "factor"), [("linear", 16.0), ("sqrt", 4.0)])
def test_a_rate_is_scaled_by_its_rule(rule: Rule, factor: float) -> None:
    assert scale_lr(0.01, rule, ranks=16) == pytest.approx(0.01 * factor)


def test_one_rank_keeps_its_rate() -> None:
    assert scale_lr(0.3, "linear", ranks=1) == scale_lr(0.3, "sqrt", ranks=1) == 0.3


def test_an_unknown_rule_is_answered_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="linear, sqrt, but got 'cubic'"):
        scale_lr(0.1, "cubic", ranks=2)  # type: ignore[arg-type]


def test_a_negative_rate_is_refused() -> None:
    with pytest.raises(ValueError, match="must be >= 0, but got -0.1"):
        scale_lr(-0.1, ranks=2)


@given(
    ranks=st.integers(1, 4096),
    length=st.floats(0.5, 20),
    epoch=st.floats(0, 20),
)
def test_a_warm_up_from_one_rank_follows_horovods_formula(
    ranks: int, length: float, epoch: float
) -> None:
    expected = 1 / ranks * (min(epoch, length) * (ranks - 1) / length + 1)
    assert math.isclose(warmup_factor(epoch, length, 1 / ranks), expected, rel_tol=1e-9)


def test_no_warm_up_is_the_full_rate_at_once() -> None:
    assert warmup_factor(0.0, 0, 0.1) == 1.0
