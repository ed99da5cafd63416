"""All points of a grid, in turn, each once.

Optuna's own goes by the trials' numbers, so that a point picked by hand costs one of the grid's; it
lists the whole grid for each point, and raises at the last one.
"""

from __future__ import annotations

from typing import Any

import optuna
from optuna.trial import FrozenTrial

from interactive_dl.search._whole_points import WholePointSampler, all_trials, note
from interactive_dl.search.ranges import Value
from interactive_dl.search.space import Space

_POINT = "grid:next"


class GridSampler(WholePointSampler):
    """Every combination of up to ``levels`` values of each parameter."""

    def __init__(self, space: Space, levels: int) -> None:
        super().__init__(space)
        self._point: dict[str, Value] = {}
        self._levels = {name: d.levels(levels) for name, d in space.dimensions.items()}

    def is_exhausted(self, study: optuna.Study) -> bool:
        """Whether every point has been proposed."""
        return self._from(_next(study)) is None

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        # Not in propose: that is left out where every parameter has one value alone.
        found = self._from(_next(study))
        if found is None:
            raise AssertionError("asked for a point of a grid that is exhausted")
        self._point, index = found
        note(study, trial, _POINT, index)

    def propose(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, Any]:
        return self._point

    def _from(self, index: int) -> tuple[dict[str, Value], int] | None:
        """The first point from ``index`` on that is no repetition, and the index after it."""
        while True:
            rest, digits = index, dict[str, int]()
            for name, values in self._levels.items():
                rest, digits[name] = divmod(rest, len(values))
            if rest:
                return None
            index += 1
            point: dict[str, Value] = {}
            for name, values in self._levels.items():
                if self.space.is_active(name, point):
                    point[name] = values[digits[name]]
            # A parameter that is not there has its first value, lest the others come again.
            if all(name in point or digits[name] == 0 for name in self._levels):
                return point, index


def _next(study: optuna.Study) -> int:
    """Index of the next point of the whole grid."""
    noted = (trial.system_attrs.get(_POINT) for trial in reversed(all_trials(study)))
    return next((index for index in noted if index is not None), 0)
