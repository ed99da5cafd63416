"""Where successive halving judges; known without Optuna, for plots."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def rungs(name: str, options: Mapping[str, Any], max_steps: int) -> list[int]:
    """The steps at which successive halving judges, up to ``max_steps``; none for other pruners."""
    if name not in ("asha", "successive_halving"):
        return []
    step, factor = int(options.get("min_steps", 1)), int(options.get("reduction", 3))
    found = []
    while step <= max_steps:
        found.append(step)
        step *= factor
    return found
