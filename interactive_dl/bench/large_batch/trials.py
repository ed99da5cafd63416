"""The grid that a search tries, and what a trial does."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import interactive_dl as idl
from interactive_dl import science
from interactive_dl.bench.large_batch.problems import FACTORS, METHODS, PROBLEMS, RULES, Problem

if TYPE_CHECKING:
    from interactive_dl.search.search import Search
    from interactive_dl.search.trial import Trial

MULTIPLES = (0.5, 1.0, 2.0)
"""Of a problem's rates, which a tuning compares at the base."""


def study(
    problem: Problem, folder: Path, seeds: Sequence[int], factors: Sequence[int] = FACTORS
) -> Search:
    """The grid of a problem, as a search to be started: ``study(...).start(cluster)``.

    Args:
        problem: one of ``PROBLEMS``.
        folder: of its samples, seen by all engines.
        seeds: of weights and order.
        factors: batches, in multiples of the base; at 1 all rules are the same.
    """
    plain = problem.plain
    larger = tuple(factor for factor in factors if factor > 1)
    grid = {
        "seed": idl.choice(list(seeds)),
        "factor": idl.choice(list(factors)),
        "optimizer": idl.choice(plain, "LARS", "LAMB"),
        "rule": idl.choice(list(RULES)).when(optimizer=plain, factor=larger),
    }
    return _search(problem, folder, grid, "large-batch")


def tuning(problem: Problem, folder: Path, seeds: Sequence[int]) -> Search:
    """The optimizers at the base, with rates around those of the problem."""
    grid = {
        "seed": idl.choice(list(seeds)),
        "optimizer": idl.choice(problem.plain, "LARS", "LAMB"),
        "times": idl.choice(list(MULTIPLES)),
    }
    return _search(problem, folder, {"factor": 1, **grid}, "tuning")


def _search(problem: Problem, folder: Path, grid: Mapping[str, Any], name: str) -> Search:
    return idl.Search(
        objective,
        {"case": problem.case, "folder": str(folder), **grid},
        metric=problem.metric,
        direction="maximize",
        sampler="grid",
        sampler_options={"levels": 1},
        name=f"{name}-{problem.case}",
    )


def objective(trial: Trial) -> Any:
    """Train until the target is reached, the epochs are over, or the loss is no number any more.

    Raises:
        ValueError: the trial's engines cannot share its batch evenly.
    """
    import keras

    p: Mapping[str, Any] = trial.params
    problem = PROBLEMS[p["case"]]
    method, factor, seed = method_of(p), p["factor"], p["seed"]
    case, config, folder = science.case(problem.case), problem.config, Path(p["folder"])
    group = trial.group
    keras.utils.set_random_seed(seed)
    batch_size = _share(factor * config.batch_size, group.size)
    train = case.open(folder, "train").cached().shard(group, seed=seed).batch(batch_size)
    val = case.open(folder, "val").cached().shard(group, shuffle=False).batch(500)
    model = case.build_model(config)
    rate = p.get("times", 1.0) * problem.rate(method, factor)
    optimizer = _optimizer(p["optimizer"], rate)
    case.compile(model, config, lambda _: trial.distribute(optimizer))

    def leave(epoch: int, logs: Mapping[str, float]) -> None:
        if logs[problem.metric] >= problem.target or not math.isfinite(logs["loss"]):
            model.stop_training = True

    return model.fit(
        train,
        validation_data=val,
        epochs=trial.epochs(config.epochs),
        callbacks=[
            *trial.callbacks(
                warmup_epochs=config.warmup_epochs if METHODS[method].has_warmup else 0,
                warmup_start=problem.rate(method, 1) / problem.rate(method, factor),
                checkpoint=None,
            ),
            keras.callbacks.LambdaCallback(on_epoch_end=leave),
        ],
        verbose=0,
    )


def _share(batch: int, ranks: int) -> int:
    """Samples of each rank."""
    if batch % ranks:
        raise ValueError(
            f"The engines of a trial must share its batch evenly, but got (batch={batch},"
            f" engines={ranks}). Start with engines_per_trial=1, 2, 4 or 8."
        )
    return batch // ranks


def method_of(params: Mapping[str, Any]) -> str:
    """The name of a trial's method; the base's is "no scaling"."""
    if params["optimizer"] in METHODS:
        return str(params["optimizer"])
    return str(params.get("rule", "no scaling"))


def _optimizer(name: str, rate: float) -> Any:
    import keras

    from interactive_dl import engine

    match name:
        case "SGD":
            return keras.optimizers.SGD(rate, momentum=0.9)
        case "LARS":
            return engine.Lars(rate, momentum=0.9, trust="lars-deck")
        case "LAMB":
            return engine.Lamb(rate)
        case _:
            return getattr(keras.optimizers, name)(rate)
