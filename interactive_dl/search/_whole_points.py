"""Root of our own samplers: they propose whole points, conditional parameters included."""

from __future__ import annotations

from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState

from interactive_dl.search import _optuna
from interactive_dl.search.space import Space

TOLD = (TrialState.COMPLETE, TrialState.PRUNED)


class WholePointSampler(BaseSampler):
    """Gives Optuna a whole point at once, as values that depend on one another.

    Its subclasses implement ``propose``.
    """

    def __init__(self, space: Space) -> None:
        self.space = space

    def propose(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, Any]:
        """A point of the space."""
        raise NotImplementedError

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        return _optuna.distributions(self.space.dimensions)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        point = self.propose(study, trial)
        return {name: value for name, value in point.items() if name in search_space}

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        raise AssertionError(f"{type(self).__name__} proposed no {param_name!r}")


def all_trials(
    study: optuna.Study, states: tuple[TrialState, ...] | None = None
) -> list[FrozenTrial]:
    """Of the whole study: under Hyperband a sampler sees its bracket's trials alone."""
    return study._storage.get_all_trials(study._study_id, deepcopy=False, states=states)


def note(study: optuna.Study, trial: FrozenTrial, key: str, value: Any) -> None:
    """Something to find again, in this trial's notes."""
    study._storage.set_trial_system_attr(trial._trial_id, key, value)


def losses(study: optuna.Study, trials: list[FrozenTrial]) -> list[float | None]:
    """The trials' values, the smaller the better; None where there is none."""
    is_less = study.direction == optuna.study.StudyDirection.MINIMIZE
    sign = 1.0 if is_less else -1.0
    return [None if trial.values is None else sign * trial.values[0] for trial in trials]
