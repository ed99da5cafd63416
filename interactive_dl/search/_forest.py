"""Asynchronous Bayesian search as DeepHyper's: extremely randomised trees, and a lower bound.

Points that are still tried count with the best value seen (the constant liar ``cl_min``), so that
the next one goes elsewhere.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import optuna
from optuna.trial import FrozenTrial, TrialState

from interactive_dl.search._whole_points import TOLD, WholePointSampler, all_trials, losses
from interactive_dl.search.ranges import Choice, Fixed, Value
from interactive_dl.search.space import Space

_MOST = 2000
"""So many of the latest trials are learnt from: fitting takes time with each point."""


class ForestSampler(WholePointSampler):
    """The candidate of the lowest ``mean - kappa * spread`` over the trees."""

    def __init__(
        self, space: Space, seed: int, *, startup: int, kappa: float, candidates: int, trees: int
    ) -> None:
        super().__init__(space)
        self._random = np.random.default_rng(seed)
        self._seed = seed
        self._startup, self._kappa = startup, kappa
        self._candidates, self._trees = candidates, trees

    def propose(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, Any]:
        if len(all_trials(study, TOLD)) < self._startup:
            return self._draw()
        points, values = self._known(study, trial)
        candidates = [self._draw() for _ in range(self._candidates)]
        bounds = self._lower_bounds(encoded(self.space, points), values, candidates)
        return candidates[int(np.argmin(bounds))]

    def _draw(self) -> dict[str, Value]:
        return self.space.sample(iter(self._random.random, 1.0))

    def _known(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> tuple[list[dict[str, Value]], np.ndarray]:
        told, pending = [], []
        others = all_trials(study, (*TOLD, TrialState.RUNNING))
        for other, value in zip(others, losses(study, others), strict=True):
            if value is not None:
                told.append((other.params, value))
            elif other.state is TrialState.RUNNING and other.number != trial.number:
                pending.append(other.params)
        told = told[-_MOST:]
        lie = min((value for _, value in told), default=0.0)
        points = [params for params, _ in told] + pending
        return points, np.array([value for _, value in told] + [lie] * len(pending))

    def _lower_bounds(
        self, known: np.ndarray, values: np.ndarray, candidates: list[dict[str, Value]]
    ) -> np.ndarray:
        from sklearn.ensemble import ExtraTreesRegressor

        # Losses of diverged trainings would hide all differences between good ones.
        ceiling = np.median(values) + 10 * (np.median(values) - values.min() + 1e-12)
        forest = ExtraTreesRegressor(self._trees, min_samples_leaf=2, random_state=self._seed)
        forest.fit(known, np.minimum(values, ceiling))
        places = encoded(self.space, candidates).astype(np.float32)
        by_tree = np.stack([tree.predict(places) for tree in forest.estimators_])
        return by_tree.mean(axis=0) - self._kappa * by_tree.std(axis=0)


def encoded(space: Space, points: list[dict[str, Value]]) -> np.ndarray:
    """Points as numbers: places in the ranges, options one by one, -1 where nothing is there.

    Returns:
        float64, shape (points, columns).
    """
    columns = []
    for name, dimension in space.dimensions.items():
        if isinstance(dimension, Fixed):
            continue
        if isinstance(dimension, Choice):
            for option in dimension.options:
                columns.append([float(p[name] == option) if name in p else -1.0 for p in points])
        else:
            columns.append([dimension.place(p[name]) if name in p else -1.0 for p in points])
    return np.array(columns, dtype=np.float64).T.reshape(len(points), len(columns))
