"""A history for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from interactive_dl.telemetry.spread import PHASES, QUANTILES

if TYPE_CHECKING:
    import pandas as pd

    from interactive_dl.telemetry.history import History

_TABLES = ("progress", "epochs", "ranks", "quantiles", "worst")
_COUNTS = frozenset({"step", "epoch", "rank", "ranks", "engine", "seq"})
_NO_CURVE = _COUNTS | {"time_s"}


def frame(history: History, which: str) -> pd.DataFrame:
    import pandas as pd

    if which not in _TABLES:
        raise ValueError(f"There are the tables {', '.join(_TABLES)}, but got {which!r}.")
    made = {"ranks": _ranks, "quantiles": _quantiles, "worst": _worst}
    columns = made[which](history) if which in made else getattr(history, which)
    return pd.DataFrame(
        {
            name: column.astype("int64") if name in _COUNTS else column
            for name, column in columns.items()
        }
    )


def to_tensorboard(history: History, folder: Path) -> None:
    from tensorboardX import SummaryWriter  # type: ignore[import-untyped]

    with SummaryWriter(str(folder)) as writer:
        for table, over in (("progress", "step"), ("epochs", "epoch")):
            columns = getattr(history, table)
            for name in sorted(set(columns) - _NO_CURVE):
                rows = zip(columns[name], columns[over], columns["time_s"], strict=True)
                for value, at, time_s in rows:
                    if np.isfinite(value):
                        writer.add_scalar(f"{table}/{name}", value, int(at), walltime=time_s)


def _ranks(history: History) -> dict[str, np.ndarray]:
    """A row for each report and rank that there was."""
    times = history.rank_times
    reports, ranks = times.compute_s.shape
    was_there = ~np.isnan(times.compute_s).ravel()
    table = {
        "step": np.repeat(times.step, ranks),
        "time_s": np.repeat(times.time_s, ranks),
        "rank": np.tile(np.arange(ranks), reports),
        **{name: getattr(times, name).ravel() for name in PHASES},
    }
    return {name: column[was_there] for name, column in table.items()}


def _quantiles(history: History) -> dict[str, np.ndarray]:
    """A row for each report of many ranks and quantile, 0 = the fastest, 1 = the slowest."""
    spread = history.time_spread
    reports, levels = len(spread.step), len(QUANTILES)
    return {
        "step": np.repeat(spread.step, levels),
        "time_s": np.repeat(spread.time_s, levels),
        "ranks": np.repeat(spread.ranks, levels),
        "quantile": np.tile(QUANTILES, reports),
        **{name: getattr(spread, name).ravel() for name in ("own_s", *PHASES)},
    }


def _worst(history: History) -> dict[str, np.ndarray]:
    """A row for each report of many ranks and one of its slowest, the slowest first."""
    spread = history.time_spread
    count = spread.worst.shape[1]
    return {
        "step": np.repeat(spread.step, count),
        "time_s": np.repeat(spread.time_s, count),
        "rank": spread.worst.ravel(),
        **{name: spread.worst_times[name].ravel() for name in PHASES},
    }
