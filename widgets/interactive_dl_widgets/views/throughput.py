"""Samples per second, and what the ranks make of being many."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from interactive_dl_widgets.views.curves import POINTS, Curve, decimate

if TYPE_CHECKING:
    from interactive_dl.telemetry.history import History

RECENT_REPORTS = 20


@dataclass(frozen=True)
class Throughput:
    """How fast a run is.

    Attributes:
        curve: samples/s of all ranks together, over steps.
        samples_per_s: median of the last reports; None before the first one.
        ranks: how many there are now.
        baseline_samples_per_s: of one rank alone, where it is known.
    """

    curve: Curve
    samples_per_s: float | None
    ranks: int
    baseline_samples_per_s: float | None

    @property
    def ideal_samples_per_s(self) -> float | None:
        """What as many ranks would reach if none waited for another."""
        if self.baseline_samples_per_s is None or self.ranks == 0:
            return None
        return self.ranks * self.baseline_samples_per_s

    @property
    def efficiency(self) -> float | None:
        """Share of the ideal, 1 = all of it; None where the baseline is not known."""
        if not self.ideal_samples_per_s or self.samples_per_s is None:
            return None
        return self.samples_per_s / self.ideal_samples_per_s


def throughput(history: History, limit: int = POINTS) -> Throughput:
    """How fast the run is, and was."""
    progress = history.progress
    rates = progress["samples_per_s"]
    known = rates[~np.isnan(rates)]
    started = history.started
    return Throughput(
        decimate(progress["step"], rates, limit),
        float(np.median(known[-RECENT_REPORTS:])) if len(known) else None,
        rank_count(history),
        started.baseline_samples_per_s if started else None,
    )


def rank_count(history: History) -> int:
    """How many ranks the run's group has now."""
    return len(members(history)[0])


def members(history: History) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Engines and hosts of the run's group as it is now, by rank."""
    if history.groups:
        return history.groups[-1].engines, history.groups[-1].hosts
    if history.started:
        return history.started.engines, history.started.hosts
    return (), ()
