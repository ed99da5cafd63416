"""Of a thousand ranks, the slow ones are still seen at once, and the page stays light."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from interactive_dl.telemetry import events, spread
from interactive_dl.telemetry.history import History
from interactive_dl_widgets import render
from interactive_dl_widgets.views.engines import reported_loads
from interactive_dl_widgets.views.maps import HeatMap
from interactive_dl_widgets.views.ranks import heat_map, phase_bars
from tests.unit.widgets.told import progress, rank_times, started, told

RANKS = 1000
SLOWEST, MEDIAN, FASTEST = 0, spread.WORST + 2, spread.WORST + 5


def report(step: int, slow: Mapping[int, float], data_s: float = 0.1) -> events.Progress:
    """All take 0.1 s for data and 0.9 s, about, to compute; ``slow`` so many times as long."""
    own_s = 1.0 + 1e-4 * np.random.default_rng(step).random(RANKS)
    for rank, relative in slow.items():
        own_s[rank] *= relative
    times = {
        "data_wait_s": np.full(RANKS, data_s),
        "compute_s": own_s - data_s,
        "allreduce_wait_s": own_s.max() - own_s,
        "other_s": np.zeros(RANKS),
    }
    return progress(step, **spread.time_fields(times))


def history_of(*happened: events.AnyEvent) -> History:
    hosts = tuple(f"node-{rank // 8}" for rank in range(RANKS))
    return told(started(engines=tuple(range(RANKS)), hosts=hosts), *happened)


def row(view: HeatMap, at: int, values: np.ndarray) -> list[float]:
    return values[view.row == at].tolist()


def who(view: HeatMap, at: int) -> list[str]:
    return [text for text, row in zip(view.who, view.row, strict=True) if row == at]


def test_the_slowest_ranks_and_the_quantiles_are_the_rows() -> None:
    view = heat_map(history_of(*(report(step, {731: 1.3, 12: 1.2}) for step in (5, 10))))
    assert view.rows == len(view.names) == 14
    assert view.names[:3] == ("slowest", "2nd", "3rd")
    assert view.names[spread.WORST :] == ("95 %", "75 %", "median", "25 %", "5 %", "fastest")
    assert sorted(set(view.row.tolist())) == list(range(view.rows))
    assert who(view, SLOWEST) == ["rank 731 on node-91"] * 2
    assert who(view, 1) == ["rank 12 on node-1"] * 2
    assert who(view, MEDIAN) == ["at most, half of 1,000 ranks"] * 2
    assert row(view, SLOWEST, view.relative) == pytest.approx([1.3] * 2, abs=1e-3)
    assert row(view, 1, view.relative) == pytest.approx([1.2] * 2, abs=1e-3)
    assert row(view, MEDIAN, view.relative) == [1.0] * 2
    assert row(view, FASTEST, view.relative) == pytest.approx([1.0] * 2, abs=1e-3)


def test_a_cell_has_the_phases_of_its_rank() -> None:
    view = heat_map(history_of(report(5, {731: 1.3})))
    phases = {name: row(view, SLOWEST, values)[0] for name, values in view.phases_ms.items()}
    assert phases == pytest.approx(
        {"data_wait_s": 100, "compute_s": 1200, "allreduce_wait_s": 0, "other_s": 0}, abs=1
    )
    (waiting,) = row(view, MEDIAN, view.phases_ms["allreduce_wait_s"])
    assert waiting == pytest.approx(300, abs=1)


def test_cells_go_moment_by_moment_and_leave_no_gap() -> None:
    view = heat_map(history_of(*(report(step, {}) for step in (5, 10, 15))))
    assert view.step.tolist() == sorted(view.step.tolist())
    begins, ends = view.step - view.width / 2, view.step + view.width / 2
    assert sorted(set(begins.tolist())) == [0, 5, 10]
    assert sorted(set(ends.tolist())) == [5, 10, 15]


def test_of_many_reports_a_cell_is_of_the_rank_that_cost_the_most() -> None:
    """Once very slow, or always a little: what counts is the time that the others have lost."""
    reports = [report(step, {3: 1.2, **({9: 1.5} if step == 1 else {})}) for step in range(1, 257)]
    view = heat_map(history_of(*reports))
    assert len(set(view.step.tolist())) <= 120
    first = {place: who(view, place)[0] for place in (0, 1)}
    assert first == {0: "rank 3 on node-0", 1: "rank 9 on node-1"}
    assert row(view, SLOWEST, view.relative)[0] == pytest.approx(1.2, abs=1e-2)
    assert set(who(view, SLOWEST)) == {"rank 3 on node-0"}


def test_the_cells_stay_few_and_those_before_stay_as_they_are() -> None:
    reports = [report(step, {step % 7: 1.2}) for step in range(1, 301)]
    before, after = heat_map(history_of(*reports[:270])), heat_map(history_of(*reports))
    assert len(after.row) <= 120 * after.rows
    kept = len(before.row) - 2 * before.rows
    assert np.array_equal(before.relative[:kept], after.relative[:kept])
    assert before.who[:kept] == after.who[:kept]


def test_who_keeps_the_others_waiting_lately_is_said() -> None:
    early = [report(step, {5: 2.0}) for step in range(1, 11)]
    late = [report(step, {731: 1.3, 12: 1.2, 8: 1.05}) for step in range(11, 21)]
    view = heat_map(history_of(*early, *late))
    assert [(one.rank, one.host) for one in view.slowest] == [(731, "node-91"), (12, "node-1")]
    said = render.heat_map_title(view.slowest)
    assert "<b>rank 731</b> on node-91 1.30×" in said
    assert heat_map(history_of(report(1, {}))).slowest == ()


def test_bars_are_of_the_slowest_lately_and_of_the_median() -> None:
    view = phase_bars(history_of(*(report(step, {731: 1.3}) for step in range(1, 31))))
    assert view.rows == len(view.names) == len(view.row) == spread.WORST + 1
    assert (view.who[0], view.who[-1]) == ("rank 731 on node-91", "medians of all ranks")
    assert view.phases_ms["compute_s"][[0, -1]] == pytest.approx([1200, 900], abs=1)


def test_a_run_that_has_shrunk_to_few_ranks_shows_each_of_them() -> None:
    few = progress(20, ranks=rank_times(1.0, 1.0))
    history = history_of(report(10, {}), events.GroupChanged((0, 1), ("a", "b"), 10), few)
    assert heat_map(history).names == phase_bars(history).names == ()
    assert heat_map(history).row.tolist() == [0, 1]
    grown = told(progress(10, ranks=rank_times(1.0, 1.0)), report(20, {}))
    assert heat_map(grown).rows == 14


def test_loads_are_known_of_the_ranks_with_the_most_memory() -> None:
    nothing = np.empty(0)
    used: dict[str, Any] = {
        "cpu_percent": np.full(RANKS, 50.0),
        "rss_bytes": np.arange(RANKS) * 1e6,
        "gpu_percent": nothing,
        "gpu_memory_bytes": nothing,
    }
    loads = reported_loads(history_of(spread.resources(used)))
    assert sorted(loads) == list(range(RANKS - spread.WORST, RANKS))
    assert (loads[999].rss_bytes, loads[999].gpu_percent) == (999_000_000, None)
