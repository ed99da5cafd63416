"""The study of large batches: its grid, its rates, what it makes of outcomes, and one trial."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import pytest

from interactive_dl.bench import large_batch
from interactive_dl.bench.large_batch import METHODS, PROBLEMS, RULES, Outcome
from interactive_dl.bench.large_batch.__main__ import main

DIGITS = PROBLEMS["digits"]


def outcomes(reached: Mapping[str, Mapping[int, list[float]]]) -> list[Outcome]:
    """Epochs by method, factor and seed; infinity for never."""
    return [
        Outcome("digits", method, factor, seed, 1.0, None if math.isinf(at) else int(at), 0.9)
        for method, by_factor in reached.items()
        for factor, seeds in by_factor.items()
        for seed, at in enumerate(seeds)
    ]


NEVER = math.inf
FOUND = outcomes(
    {
        "no scaling": {1: [4, 2, 3], 4: [7, 6, 9], 16: [NEVER, 14, NEVER]},
        "linear": {4: [3, 4, 3], 16: [NEVER, NEVER, 9]},
        "square root": {4: [3, 4, 3], 16: [6, 6, 5]},
        "linear, warm-up": {4: [4, 4, 3], 16: [8, 7, 7]},
        "LARS": {1: [5, 5, 5], 4: [4, 5, 6], 16: [10, 10, 10]},
        "LAMB": {1: [NEVER, NEVER, 4], 4: [5, 5, 5], 16: [5, 5, 5]},
    }
)


def test_the_grid_has_each_rule_where_it_means_something() -> None:
    described = large_batch.study(DIGITS, Path("/data"), range(2), (1, 4, 16))._described
    assert described is not None
    assert described.sampler == "grid"
    space = described.space
    levels = {name: dimension.levels(9) for name, dimension in space.dimensions.items()}
    points = {
        tuple((name, point[name]) for name in space.active(point))
        for values in itertools.product(*levels.values())
        for point in [dict(zip(levels, values, strict=True))]
    }
    tried = [(large_batch.method_of(dict(point)), dict(point)["factor"]) for point in points]
    assert all(tried.count((method, 4)) == tried.count((method, 16)) == 2 for method in METHODS)
    at_base = [method for method, factor in tried if factor == 1]
    assert sorted(at_base) == ["LAMB"] * 2 + ["LARS"] * 2 + ["no scaling"] * 2


@pytest.mark.parametrize(
    ("method", "times"),
    [
        ("no scaling", 1),
        ("linear", 16),
        ("square root", 4),
        ("linear, warm-up", 16),
        ("LARS", 4),
        ("LAMB", 4),
    ],
)
def test_the_rules_alone_change_the_rate(method: str, times: float) -> None:
    base = DIGITS.rates["SGD" if method in RULES else method]
    assert DIGITS.rate(method, 1) == base
    assert DIGITS.rate(method, 16) == pytest.approx(times * base)


def test_an_outcome_is_the_first_epoch_at_the_target() -> None:
    params = {"case": "digits", "seed": 2, "factor": 4, "optimizer": "SGD", "rule": "linear"}
    judging = ({1: 0.9, 2: 0.97, 3: 0.95, 4: 0.98}, {1: 0.96}, {})
    trials = [SimpleNamespace(state="finished", params=params, judging=one) for one in judging]
    trials.append(SimpleNamespace(state="stopped", params=params, judging={1: 0.98}))
    found = large_batch.outcomes(SimpleNamespace(trials=trials))  # type: ignore[arg-type]
    assert [(one.epochs, one.best) for one in found] == [(2, 0.98), (None, 0.96), (None, None)]
    assert found[0] == Outcome("digits", "linear", 4, 2, 1.0, 2, 0.98)


def test_all_rules_have_one_base() -> None:
    epochs = large_batch.medians(FOUND)
    assert [epochs[method, 1] for method in METHODS] == [3, 3, 3, 3, 5, NEVER]
    assert epochs["no scaling", 16] == NEVER
    assert epochs["square root", 16] == 6


def test_a_method_breaks_beyond_twice_the_epochs_of_its_base() -> None:
    assert large_batch.breaks(FOUND) == {
        "no scaling": 4,
        "linear": 16,
        "square root": None,
        "linear, warm-up": 16,
        "LARS": None,
        "LAMB": 1,
    }


def test_the_claims_are_judged_by_where_the_methods_break() -> None:
    assert list(large_batch.claims(FOUND).values()) == [True, True, True, True, True, False]
    as_good = outcomes({method: {1: [3], 16: [3]} for method in METHODS})
    assert not any(large_batch.claims(as_good).values())


def test_a_cell_has_the_median_the_range_and_how_far_the_others_came() -> None:
    lines = large_batch.table(FOUND).splitlines()
    assert lines[2] == "| batch | 8 | 32 | 128 |  |"
    assert lines[3] == "| no scaling | 3 (2 - 4) | 7 (6 - 9) | never (14 - never) | x4 |"
    assert lines[5] == "| square root | 3 (2 - 4) | 3 (3 - 4) | 6 (5 - 6) | - |"
    lost = [
        replace(one, epochs=None, best=best)
        for one, best in zip(FOUND, (0.91, 0.5, None), strict=False)
    ]
    assert large_batch.table(lost).splitlines()[3] == "| no scaling | never (at most 0.91) | x1 |"
    table = large_batch.claims_table({"digits": FOUND, "rpv": FOUND})
    assert table.splitlines()[-1] == "| LAMB goes further than that | no | no |"


def test_rates_are_compared_at_the_base() -> None:
    found = [replace(one, times=2.0) for one in FOUND if one.factor == 1]
    lines = large_batch.tuning_table(found).splitlines()
    assert f"| SGD | {2 * DIGITS.rates['SGD']:g} | 3 (2 - 4) |" in lines
    assert f"| SGD | {DIGITS.rates['SGD']:g} (taken) |  |" in lines


@dataclass(frozen=True)
class Rank:
    """One rank of a group that all see the same."""

    rank: int = 0
    size: int = 1

    def allgather(self, value: Any) -> list[Any]:
        return [value] * self.size


class Trial:
    """What the objective sees of a trial; ``fit`` is not run."""

    group = Rank()

    def __init__(self, folder: Path, **params: Any) -> None:
        self.params = {"case": "digits", "folder": str(folder), "seed": 1, **params}
        self.asked: dict[str, Any] = {}

    def distribute(self, optimizer: Any) -> Any:
        self.optimizer = optimizer
        return optimizer

    def epochs(self, default: int) -> int:
        return default

    def callbacks(self, **options: Any) -> list[Any]:
        self.asked = options
        return []


@dataclass
class Fit:
    """What ``fit`` was called with."""

    model: Any
    train: Any
    options: dict[str, Any]

    def is_left_after(self, *, is_stopped: bool = False, **logs: float) -> bool:
        """Whether the training ends behind an epoch with these metrics, or one that was stopped."""
        self.model.stop_training = is_stopped
        for callback in self.options["callbacks"]:
            callback.on_epoch_end(0, logs)
        return bool(self.model.stop_training)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return large_batch.prepare(DIGITS, tmp_path_factory.mktemp("digits"))


@pytest.fixture
def fit(monkeypatch: pytest.MonkeyPatch) -> Callable[[Trial], Fit]:
    monkeypatch.setattr(
        keras.Model, "fit", lambda model, train, **options: Fit(model, train, options)
    )
    return large_batch.objective


def test_a_trial_has_the_batch_the_rate_and_the_warm_up_of_its_method(
    fit: Callable[[Trial], Fit], folder: Path
) -> None:
    trial = Trial(folder, factor=16, optimizer="SGD", rule="linear, warm-up")
    called = fit(trial)
    x, _ = called.train[0]
    assert len(x) == 16 * DIGITS.config.batch_size == 128
    assert type(trial.optimizer) is keras.optimizers.SGD
    assert float(trial.optimizer.learning_rate) == pytest.approx(16 * DIGITS.rates["SGD"])
    assert trial.asked["warmup_epochs"] == DIGITS.config.warmup_epochs == 1
    assert trial.asked["warmup_start"] == pytest.approx(1 / 16)
    assert called.options["epochs"] == DIGITS.config.epochs
    plain = Trial(folder, factor=16, optimizer="SGD", rule="linear")
    fit(plain)
    assert plain.asked["warmup_epochs"] == 0


def test_each_of_two_ranks_takes_half_of_the_batch(
    fit: Callable[[Trial], Fit], folder: Path
) -> None:
    trial = Trial(folder, factor=4, optimizer="LARS")
    whole, _ = fit(trial).train[0]
    parts = []
    for rank in (0, 1):
        trial.group = Rank(rank, size=2)  # type: ignore[misc]
        part, _ = fit(trial).train[0]
        parts.append(part)
    np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_trials_of_one_seed_begin_alike(fit: Callable[[Trial], Fit], folder: Path) -> None:
    one, other, another = (
        fit(Trial(folder, factor=factor, seed=seed, optimizer="LAMB"))
        for factor, seed in ((1, 1), (16, 1), (1, 2))
    )
    weights = [called.model.get_weights()[0] for called in (one, other, another)]
    np.testing.assert_array_equal(weights[0], weights[1])
    assert not np.array_equal(weights[0], weights[2])
    first, second = (called.train[0][0][:8] for called in (one, another))
    assert not np.array_equal(first, second)


def test_a_trial_leaves_at_the_target_or_where_nothing_can_come(
    fit: Callable[[Trial], Fit], folder: Path
) -> None:
    called = fit(Trial(folder, factor=1, optimizer="SGD", times=2.0))
    assert float(called.model.optimizer.learning_rate) == pytest.approx(2 * DIGITS.rates["SGD"])
    assert not called.is_left_after(loss=0.1, val_accuracy=0.96)
    assert called.is_left_after(loss=0.1, val_accuracy=0.97)
    assert called.is_left_after(loss=math.nan, val_accuracy=0.1)


def test_a_trial_that_was_stopped_does_not_go_on(fit: Callable[[Trial], Fit], folder: Path) -> None:
    called = fit(Trial(folder, factor=1, optimizer="SGD"))
    assert called.is_left_after(is_stopped=True, loss=0.1, val_accuracy=0.5)


def test_engines_that_cannot_share_a_batch_are_refused(
    fit: Callable[[Trial], Fit], folder: Path
) -> None:
    trial = Trial(folder, factor=4, optimizer="SGD")
    trial.group = Rank(size=3)  # type: ignore[misc]
    with pytest.raises(ValueError, match=r"evenly, but got \(batch=32, engines=3\)"):
        fit(trial)


def test_an_unknown_case_is_answered_with_those_there_are(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        main(["digit"])
    assert "has the cases digits, rpv, but got 'digit'" in capsys.readouterr().err
