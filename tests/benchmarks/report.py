"""How figures are told."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence

import numpy as np
from scipy.stats import bootstrap


def machine() -> str:
    """What the figures were measured on."""
    return f"{platform.machine()}, {len(os.sched_getaffinity(0))} cores"


def median_and_interval(values: Sequence[float]) -> str:
    """The median and its 95 % bootstrap interval, as two cells of a Markdown table."""
    resampled = bootstrap((np.array(values),), np.median, rng=0, method="percentile")
    spread = resampled.confidence_interval
    return f"{np.median(values):.3f} | {spread.low:.3f} – {spread.high:.3f}"
