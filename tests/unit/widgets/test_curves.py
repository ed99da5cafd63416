"""Curves have few points, and still show what is there."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from interactive_dl.telemetry import events
from interactive_dl_widgets.views.curves import (
    decimate,
    metric_curves,
    metric_names,
    trailing_mean,
)
from tests.unit.widgets.told import progress, started, told

VALUES = st.lists(st.floats(-1e6, 1e6) | st.just(float("nan")), min_size=1, max_size=300)


@given(VALUES, st.integers(10, 80))
def test_few_points_are_left_with_the_extremes_and_the_last_among_them(
    values: list[float], limit: int
) -> None:
    y = np.array(values)
    curve = decimate(np.arange(len(y)), y, limit)
    known = y[~np.isnan(y)]
    assert len(curve.x) <= limit + 1
    assert np.all(np.diff(curve.x) > 0)
    assert np.array_equal(y[curve.x.astype(int)], curve.y)
    if len(known):
        assert (curve.y.min(), curve.y.max()) == (known.min(), known.max())
        assert curve.x[-1] == np.flatnonzero(~np.isnan(y))[-1]


def test_the_last_point_is_there_though_it_is_no_extreme() -> None:
    y = np.tile([0.0, 2.0, 1.0, 1.0], 100)
    curve = decimate(np.arange(len(y)), y, 20)
    assert (curve.x[-1], curve.y[-1]) == (399, 1.0)


def test_points_that_are_drawn_stay_where_they_are_while_others_come() -> None:
    y = np.random.default_rng(0).normal(size=5000)
    before = decimate(np.arange(4100), y[:4100], 1000)
    after = decimate(np.arange(4200), y[:4200], 1000)
    kept = len(before.x) - 3
    assert np.array_equal(before.x[:kept], after.x[:kept])


@given(VALUES, st.integers(1, 20))
def test_a_mean_is_over_the_last_values_that_are_known(values: list[float], count: int) -> None:
    smooth = trailing_mean(np.array(values), count)
    for end in range(1, len(values) + 1):
        window = [one for one in values[max(0, end - count) : end] if one == one]
        expected = np.mean(window) if window else np.nan
        assert smooth[end - 1] == pytest.approx(expected, rel=1e-6, abs=1e-3, nan_ok=True)


def test_a_logarithmic_axis_gets_what_is_positive() -> None:
    history = told(*(progress(n, metrics={"loss": value}) for n, value in [(1, 2), (2, 0), (3, 1)]))
    assert metric_curves(history, "loss", log=True).reported.y.tolist() == [2, 1]
    assert metric_curves(history, "loss", log=False).reported.y.tolist() == [2, 0, 1]


def test_validation_is_of_epochs_and_of_what_somebody_asked_for() -> None:
    history = told(
        started(),
        progress(10, metrics={"loss": 0.5, "auc": 0.7}),
        events.EpochEnded(1, 10, {"loss": 0.5, "val_loss": 0.6}, 3.0),
        events.Evaluated(12, {"val_loss": 0.55}),
        events.Evaluated(14, {"loss": 0.5}),
        events.Evaluated(16, {"auc": 0.8}),
    )
    curves = metric_curves(history, "loss")
    assert (curves.reported.x.tolist(), curves.reported.y.tolist()) == ([10], [0.5])
    assert (curves.validation.x.tolist(), curves.validation.y.tolist()) == ([10], [0.6])
    assert (curves.evaluated.x.tolist(), curves.evaluated.y.tolist()) == ([12, 14], [0.55, 0.5])
    assert metric_names(history) == ("loss", "auc")


def test_a_run_that_has_told_nothing_has_empty_curves() -> None:
    curves = metric_curves(told(), "loss", over_reports=5, log=True)
    assert [len(one.x) for one in (curves.reported, curves.smooth, curves.validation)] == [0, 0, 0]
