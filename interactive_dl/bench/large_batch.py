"""What a larger batch costs, and what the rules against it save: epochs to a target, by batch.

``python -m interactive_dl.bench.large_batch`` has the engines of a cluster of its own try a grid:
batches of 1, 2, 4, 8 and 16 times a base, each under six methods and with several seeds. A rate is
tuned once for each optimizer, at the base; from there on the rules alone change it.

A trial has one engine. N ranks with a batch of B / N each would take the same samples in each step
(``data.shards``) and the mean of the same gradients, so a batch is what it is wherever it is made;
with ``engines_per_trial`` the same objective is tried on several.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import interactive_dl as idl
from interactive_dl import science
from interactive_dl.engine.schedules import Rule, scale_lr
from interactive_dl.science import cache as caching

if TYPE_CHECKING:
    from interactive_dl.search.book import Book
    from interactive_dl.search.search import Search
    from interactive_dl.search.trial import Trial

FACTORS = (1, 2, 4, 8, 16)
PATIENCE = 2.0
"""A method breaks where it needs more than so many times the epochs of the base."""
MULTIPLES = (0.5, 1.0, 2.0)
"""Of a problem's rates, which ``--tune`` compares at the base."""


@dataclass(frozen=True)
class Method:
    """What is done about a larger batch.

    Attributes:
        rule: how the learning rate follows the batch; None: it does not.
        has_warmup: whether it begins at the base's rate and gets there step by step.
    """

    rule: Rule | None
    has_warmup: bool = False


RULES = {
    "no scaling": Method(None),
    "linear": Method("linear"),
    "square root": Method("sqrt"),
    "linear, warm-up": Method("linear", has_warmup=True),
}
"""Of the plain optimizer."""

METHODS = {**RULES, "LARS": Method("sqrt", True), "LAMB": Method("sqrt", True)}
"""The rule of LAMB's authors (arXiv 1904.00962) for both: either moves a weight by a share of its
norm, whatever the length of the gradient, so that of a larger batch only less noise is left."""


@dataclass(frozen=True)
class Problem:
    """A case as the study trains it.

    Attributes:
        case: its name.
        config: its batch is the base's, its epochs are the most that a trial gets.
        metric: of the validation, the larger the better.
        target: what it is to reach.
        plain: the optimizer that the rules of the learning rate are tried with.
        rates: at the base, by optimizer: of a ladder, one step below the highest with which it
            trains; ``--tune`` tries each beside its half and its double.
        warmup_epochs: of the methods that have one.
    """

    case: str
    config: Any
    metric: str
    target: float
    plain: str
    rates: Mapping[str, float]
    warmup_epochs: float

    def rate(self, method: str, factor: int) -> float:
        """The learning rate of a method, at its full height."""
        rule = METHODS[method].rule
        base = self.rates[method if method in self.rates else self.plain]
        return base if rule is None else scale_lr(base, rule, factor)


PROBLEMS = {
    "digits": Problem(
        case="digits",
        config=replace(
            science.case("digits").config("laptop"),
            filters=16,
            dropout=0.0,
            batch_size=8,
            epochs=16,
        ),
        metric="val_accuracy",
        target=0.97,
        plain="SGD",
        rates={"SGD": 0.01, "LARS": 0.001, "LAMB": 0.005},
        warmup_epochs=1,
    ),
    "rpv": Problem(
        case="rpv",
        config=replace(
            science.case("rpv").config("laptop"),
            train=3000,
            val=1500,
            test=0,
            dropout=0.0,
            batch_size=16,
            epochs=16,
        ),
        metric="val_auc",
        target=0.80,
        plain="Adam",
        rates={"Adam": 0.002, "LARS": 0.002, "LAMB": 0.002},
        warmup_epochs=1,
    ),
}
"""Without dropout, whose masks N ranks draw apart. The digits have SGD with momentum, of which the
linear rule speaks; RPV has Adam and scales it, as ``cori-intml-examples`` does."""


def prepare(problem: Problem, cache: Path | None = None) -> Path:
    """The folder of a problem's samples, which are generated where they are not there."""
    case = science.case(problem.case)
    return caching.prepare(case, problem.config, 0, cache or caching.default_folder())


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
    """Train until the target is reached, the epochs are over, or the loss is no number any more."""
    import keras

    p: Mapping[str, Any] = trial.params
    problem = PROBLEMS[p["case"]]
    method, factor, seed = method_of(p), p["factor"], p["seed"]
    case, config, folder = science.case(problem.case), problem.config, Path(p["folder"])
    group = trial.group
    keras.utils.set_random_seed(seed)
    batch_size = factor * config.batch_size // group.size
    train = case.open(folder, "train").cached().shard(group, seed=seed).batch(batch_size)
    val = case.open(folder, "val").cached().shard(group, shuffle=False).batch(500)
    model = case.build_model(config)
    rate = p.get("times", 1.0) * problem.rate(method, factor)
    optimizer = _optimizer(p["optimizer"], rate)
    case.compile(model, config, lambda _: trial.distribute(optimizer))

    def leave(epoch: int, logs: Mapping[str, float]) -> None:
        is_there = logs[problem.metric] >= problem.target
        model.stop_training = is_there or not math.isfinite(logs["loss"])

    return model.fit(
        train,
        validation_data=val,
        epochs=trial.epochs(config.epochs),
        callbacks=[
            *trial.callbacks(
                warmup_epochs=problem.warmup_epochs if METHODS[method].has_warmup else 0,
                warmup_start=problem.rate(method, 1) / problem.rate(method, factor),
                checkpoint=None,
            ),
            keras.callbacks.LambdaCallback(on_epoch_end=leave),
        ],
        verbose=0,
    )


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


# -- what came of it ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Outcome:
    """What came of a trial.

    Attributes:
        case, method, factor, seed: what was tried.
        times: multiple of the problem's rate.
        epochs: after which the target was reached; None: not within the problem's.
        best: value of the metric; None where there was none, as the loss was no number.
    """

    case: str
    method: str
    factor: int
    seed: int
    times: float
    epochs: int | None
    best: float | None

    @property
    def reached(self) -> float:
        """The epochs; infinity for never."""
        return math.inf if self.epochs is None else self.epochs


def outcomes(book: Book) -> list[Outcome]:
    """Of the trials of a study, or of a tuning, that have come to an end by themselves."""
    return [_outcome(t.params, t.judging) for t in book.trials if t.state == "finished"]


def _outcome(params: Mapping[str, Any], judging: Mapping[int, float]) -> Outcome:
    problem = PROBLEMS[str(params["case"])]
    there = [epoch for epoch, value in judging.items() if value >= problem.target]
    return Outcome(
        case=problem.case,
        method=method_of(params),
        factor=params["factor"],
        seed=params["seed"],
        times=params.get("times", 1.0),
        epochs=min(there, default=None),
        best=max(judging.values(), default=None),
    )


Key = tuple[str, int]


def medians(found: Iterable[Outcome]) -> dict[Key, float]:
    """Epochs to the target by method and factor, the median over the seeds; infinity for never.

    All rules have the base of the plain optimizer.
    """
    by_key: dict[Key, list[float]] = {}
    for one in found:
        for method in RULES if one.factor == 1 and one.method in RULES else [one.method]:
            by_key.setdefault((method, one.factor), []).append(one.reached)
    return {key: statistics.median_high(values) for key, values in by_key.items()}


def breaks(found: Iterable[Outcome]) -> dict[str, int | None]:
    """By method, the first batch with which it needs more than ``PATIENCE`` times the epochs of its
    base, in multiples of the base; None: it holds all along.
    """
    epochs = medians(found)

    def is_broken(method: str, factor: int) -> bool:
        needed = epochs[method, factor]
        return math.isinf(needed) or needed > PATIENCE * epochs[method, 1]

    return {
        method: next(
            (at for name, at in sorted(epochs) if name == method and is_broken(method, at)), None
        )
        for method in METHODS
        if (method, 1) in epochs
    }


def claims(found: Sequence[Outcome]) -> dict[str, bool]:
    """What the "at scale" deck says of large batches, and whether one case bears it out.

    A method goes further than another if it breaks at a larger batch; of two that break at the
    same, the one that needs fewer epochs at the largest.
    """
    epochs, broken = medians(found), breaks(found)
    largest = max(one.factor for one in found)

    def reach(method: str) -> tuple[float, float]:
        return (broken[method] or math.inf, -epochs[method, largest])

    return {
        "without scaling, large batches need more epochs": broken["no scaling"] is not None,
        "linear scaling goes further than none": reach("linear") > reach("no scaling"),
        "linear scaling breaks in the end": broken["linear"] is not None,
        "a warm-up takes it further": reach("linear, warm-up") > reach("linear"),
        "LARS goes further than that": reach("LARS") > reach("linear, warm-up"),
        "LAMB goes further than that": reach("LAMB") > reach("linear, warm-up"),
    }


def table(found: Sequence[Outcome]) -> str:
    """A Markdown table of one case: epochs to the target, a row for each method."""
    factors = sorted({one.factor for one in found})
    broken = breaks(found)
    problem = PROBLEMS[found[0].case]
    head = ["method", *(f"x{factor}" for factor in factors), "breaks at"]
    rows = [
        [
            method,
            *(_cell(_of(found, method, factor)) for factor in factors),
            "-" if at is None else f"x{at}",
        ]
        for method, at in broken.items()
    ]
    batches = ["batch", *(str(factor * problem.config.batch_size) for factor in factors), ""]
    return _markdown(head, [batches, *rows])


def _of(found: Iterable[Outcome], method: str, factor: int) -> list[Outcome]:
    names = RULES if factor == 1 and method in RULES else (method,)
    return [one for one in found if one.method in names and one.factor == factor]


def claims_table(found: Mapping[str, Sequence[Outcome]]) -> str:
    """A Markdown table of the claims, a column for each case."""
    by_case = {case: claims(some) for case, some in found.items()}
    rows = [
        [claim, *("yes" if held[claim] else "no" for held in by_case.values())]
        for claim in next(iter(by_case.values()))
    ]
    return _markdown(["claim", *by_case], rows)


def tuning_table(found: Sequence[Outcome]) -> str:
    """A Markdown table of one case at the base: epochs to the target by optimizer and rate."""
    problem = PROBLEMS[found[0].case]
    rows = []
    for name, rate in problem.rates.items():
        method = "no scaling" if name == problem.plain else name
        for times in MULTIPLES:
            some = [one for one in found if (one.method, one.times) == (method, times)]
            chosen = " (taken)" if times == 1 else ""
            rows.append([name, f"{rate * times:g}{chosen}", _cell(some)])
    return _markdown(["optimizer", "rate", "epochs"], rows)


def _cell(some: Sequence[Outcome]) -> str:
    """``4 (3 - 5)``: median and range of the epochs; where no seed got there, how far they came."""
    reached = sorted(one.reached for one in some)
    if not some:
        return ""
    if math.isinf(reached[0]):
        best = [one.best for one in some if one.best is not None]
        return f"never (at most {max(best):.2f})" if best else "never (no number)"
    low, middle, high = (
        _epochs(value) for value in (reached[0], statistics.median_high(reached), reached[-1])
    )
    return middle if low == high else f"{middle} ({low} - {high})"


def _epochs(value: float) -> str:
    return "never" if math.isinf(value) else f"{value:.0f}"


def _markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


# -- the command ----------------------------------------------------------------------------------


def main(arguments: Sequence[str] | None = None) -> None:
    """Start engines, try the grids, and print the tables."""
    parser = argparse.ArgumentParser(prog="python -m interactive_dl.bench.large_batch")
    parser.add_argument("cases", nargs="*", default=list(PROBLEMS), metavar="CASE")
    parser.add_argument("--engines", type=int, default=2, help="how many (default: 2)")
    parser.add_argument("--seeds", type=int, default=5, help="how many (default: 5)")
    parser.add_argument("--tune", action="store_true", help="compare rates at the base instead")
    parser.add_argument("--output", type=Path, help="a JSON file for what came of each trial")
    chosen = parser.parse_args(arguments)
    seeds = range(chosen.seeds)
    found: dict[str, list[Outcome]] = {}
    with idl.Cluster(engines=chosen.engines) as cluster:
        for name in chosen.cases:
            problem = PROBLEMS[name]
            search = (tuning if chosen.tune else study)(problem, prepare(problem), seeds)
            search.start(cluster).wait()
            found[name] = outcomes(search.book)
            search.close()
            shown = (tuning_table if chosen.tune else table)(found[name])
            print(f"{name}:\n\n{shown}\n", flush=True)
    if not chosen.tune:
        print(claims_table(found))
    if chosen.output:
        text = {name: [asdict(one) for one in some] for name, some in found.items()}
        chosen.output.write_text(json.dumps(text, indent=1) + "\n")


if __name__ == "__main__":
    main()
