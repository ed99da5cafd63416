"""Who keeps the others waiting is seen at once."""

from __future__ import annotations

import numpy as np

from interactive_dl.telemetry import events
from interactive_dl_widgets.views.ranks import heat_map, phase_bars
from interactive_dl_widgets.views.throughput import throughput
from tests.unit.widgets.told import progress, rank_times, started, told


def test_a_rank_that_is_slower_by_a_third_stands_out_and_the_others_wait_for_it() -> None:
    slow = rank_times(1.0, 1.3, 1.0, 1.0)
    history = told(
        started(engines=(0, 1, 2, 3), hosts=("a", "a", "b", "b")),
        *(progress(step, ranks=slow) for step in (5, 10)),
    )
    view = heat_map(history)
    assert (view.rows, view.names) == (4, ())
    assert view.row.tolist() == [0, 1, 2, 3] * 2
    assert np.allclose(view.relative, [1, 1.3, 1, 1] * 2)
    assert np.allclose(view.phases_ms["allreduce_wait_s"], [300, 0, 300, 300] * 2)
    assert view.who[:4] == ("rank 0 on a", "rank 1 on a", "rank 2 on b", "rank 3 on b")
    assert (view.step - view.width / 2).tolist() == [0] * 4 + [5] * 4


def test_waiting_for_data_is_a_ranks_own_time() -> None:
    times = events.RankTimes((2.0, 0.0), (1.0, 1.0), (0.0, 2.0), (0.0, 0.0))
    view = heat_map(told(progress(1, ranks=times)))
    assert np.allclose(view.relative, [1.5, 0.5])


def test_a_rank_that_is_gone_has_no_cells_and_no_bar() -> None:
    history = told(
        started(engines=(0, 1), hosts=("a", "b")),
        progress(1, ranks=rank_times(1.0, 1.0)),
        events.GroupChanged((0,), ("a",), 1),
        progress(2, ranks=rank_times(1.0)),
    )
    assert heat_map(history).row.tolist() == [0, 1, 0]
    assert phase_bars(history).row.tolist() == [0]
    assert phase_bars(history).who == ("rank 0 on a",)


def test_many_reports_of_many_ranks_make_few_cells() -> None:
    history = told(*(progress(n, ranks=rank_times(*[1.0] * 64)) for n in range(1, 1001)))
    view = heat_map(history)
    assert len(view.row) <= 6000
    assert view.step[0] - view.width[0] / 2 == 0
    assert view.step[-1] + view.width[-1] / 2 == 1000


def test_cells_stay_where_they_are_while_others_come() -> None:
    reports = [progress(n, ranks=rank_times(1.0, n / 300)) for n in range(1, 301)]
    before, after = heat_map(told(*reports[:270])), heat_map(told(*reports))
    kept = len(before.step) - 2
    assert np.array_equal(before.relative[:kept], after.relative[:kept])


def test_bars_are_means_over_the_last_reports() -> None:
    reports = [progress(n, ranks=rank_times(float(n))) for n in range(1, 21)]
    assert np.allclose(phase_bars(told(*reports)).phases_ms["compute_s"], [15500])


def test_nothing_is_drawn_of_a_run_that_has_told_nothing() -> None:
    assert len(heat_map(told()).row) == 0
    assert len(phase_bars(told()).row) == 0


def test_efficiency_is_beside_as_many_ranks_alone() -> None:
    view = throughput(told(started(baseline_samples_per_s=100.0), progress(1, samples_per_s=160.0)))
    assert (view.samples_per_s, view.ideal_samples_per_s, view.efficiency) == (160.0, 200.0, 0.8)


def test_efficiency_follows_the_group() -> None:
    view = throughput(
        told(
            started(baseline_samples_per_s=100.0),
            events.GroupChanged((0,), ("a",), 1),
            progress(2, samples_per_s=90.0),
        )
    )
    assert (view.ranks, view.efficiency) == (1, 0.9)


def test_without_a_baseline_there_is_no_efficiency() -> None:
    view = throughput(told(started(), progress(1), progress(2, samples_per_s=90.0)))
    assert (view.samples_per_s, view.efficiency) == (90.0, None)
    assert throughput(told()).samples_per_s is None
