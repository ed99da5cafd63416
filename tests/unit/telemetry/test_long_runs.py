"""What a history keeps of its ranks does not grow for ever."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from interactive_dl.telemetry import events, spread
from interactive_dl.telemetry._thinning import MOST_NUMBERS, RECENT
from interactive_dl.telemetry.history import History

AT_ONCE = 1000


def report(step: int, told: dict[str, Any], used: events.Resources) -> list[events.Record]:
    progress = events.Progress(step, 0, step, {}, 0.1, **told)
    pair = enumerate((progress, used), start=2 * step)
    return [events.Record("r", 0, seq, float(step), event) for seq, event in pair]


@pytest.mark.parametrize(
    ("ranks", "reports"), [(spread.TOLD_RANKS, 9000), (spread.TOLD_RANKS + 1, 60_000)]
)
def test_a_long_runs_history_stays_small_and_has_its_latest_reports(
    ranks: int, reports: int
) -> None:
    history = History()
    told = spread.time_fields({name: np.full(ranks, 0.1) for name in spread.PHASES})
    used = spread.resources({name: np.full(ranks, 10.0) for name in spread.RESOURCES})
    for begin in range(0, reports, AT_ONCE):
        steps = range(begin, begin + AT_ONCE)
        history.extend(record for step in steps for record in report(step, told, used))

    assert len(history.progress["step"]) == reports
    times = history.rank_times if ranks <= spread.TOLD_RANKS else history.time_spread
    assert times.step[-RECENT:].tolist() == list(range(reports - RECENT, reports))
    kept = (history.rank_times, history.time_spread, history.resources, history.resource_spread)
    for columns in kept:
        arrays = [column for column in vars(columns).values() if isinstance(column, np.ndarray)]
        assert sum(array.size for array in arrays) <= MOST_NUMBERS + RECENT * 4 * ranks
