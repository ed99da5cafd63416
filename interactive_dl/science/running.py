"""A case from its data to its verdict, on one rank or on many."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast

from interactive_dl.science import cache as caching
from interactive_dl.science.definition import (
    Bound,
    Case,
    Constant,
    Control,
    Predictor,
    Task,
    commonest,
    missed,
)

if TYPE_CHECKING:
    from interactive_dl.engine import Group

Scaling = Literal["strong", "weak"]
SCALINGS: tuple[Scaling, ...] = ("strong", "weak")
Value = TypeVar("Value")


@dataclass(frozen=True)
class Result:
    """What came of a run.

    Attributes:
        case, size, seed, control: what was asked for.
        ranks: how many trained together, in the end: some may be lost, others join.
        parameters: of the network.
        metrics: by name, on the test split.
        gate: by what they are judged.
        data_s, training_s, scoring_s: how long each took.
        folder: of the data.
        model: the trained network, or what stood in for one; None: left out.
    """

    case: str
    size: str
    seed: int
    control: Control | None
    ranks: int
    parameters: int
    metrics: Mapping[str, float]
    gate: tuple[Bound, ...]
    data_s: float
    training_s: float
    scoring_s: float
    folder: Path
    model: Any

    @property
    def missed(self) -> tuple[str, ...]:
        """Conditions of the gate that do not hold, each with the value; empty: passed."""
        return missed(self.gate, self.metrics)

    @property
    def passed(self) -> bool:
        """Whether the gate did not stop it."""
        return not self.missed

    @property
    def as_expected(self) -> bool:
        """Whether a training passed, or a control failed."""
        return self.passed == (self.control is None)

    def without_model(self) -> Result:
        """The same, to be sent to another process: of a network only the numbers are left."""
        return replace(self, model=None)

    def table(self) -> str:
        """The metrics beside their bounds, and the verdict."""
        bounds = {bound.metric: f"{bound.side} {bound.limit:g}" for bound in self.gate}
        verdict = "passed" if self.passed else f"failed; {'; '.join(self.missed)}"
        return "\n".join(
            [
                f"{'metric':<24}{'value':>12}   gate",
                *(
                    f"{name:<24}{value:>12.4g}   {bounds.get(name, '')}".rstrip()
                    for name, value in self.metrics.items()
                ),
                f"gate: {verdict}",
            ]
        )


def run(
    case: Case[Any],
    size: str = "laptop",
    *,
    seed: int = 0,
    data_seed: int = 0,
    control: Control | None = None,
    scaling: Scaling = "strong",
    cache: Path | None = None,
    folder: Path | None = None,
    verbose: int = 0,
) -> Result:
    """Get the data, train on all ranks, score on rank 0; every rank of the cell calls this.

    Args:
        case: ``science.case("rpv")``.
        size: one of its sizes.
        seed: of the initial weights and of the samples' order.
        data_seed: of the samples.
        control: do not learn, in this way.
        scaling: strong: the ranks share the configuration's batch; weak: each has one of that
            size, the learning rate is multiplied by the number of ranks and warmed up.
        cache: where generated samples are kept, seen by all hosts; by default
            ``cache.default_folder()``.
        folder: files of the original's format to use instead of generated ones.
        verbose: 2: a line per epoch, 1: a bar, 0: nothing.

    Returns:
        The same on every rank, but for the times and the network, which are the rank's own.

    Raises:
        UnknownSizeError: no such size.
    """
    from interactive_dl import engine

    config = case.config(size)
    group = engine.init(seed=seed)
    begin_s = time.monotonic()
    where = folder or _on_first(
        group, lambda: caching.prepare(case, config, data_seed, cache or caching.default_folder())
    )
    ready_s = time.monotonic()
    task = Task(
        case=case,
        config=_scaled(config, group.size, scaling),
        folder=where,
        group=group,
        seed=seed,
        name=f"{case.name}-{size}",
        batch_size=_batch_size(config.batch_size, group.size, scaling),
        shuffle_labels=control == "shuffled",
        verbose=verbose,
    )
    model = case.build_model(config) if control in ("untrained", "constant") else case.train(task)
    predictor = _constant(task, model) if control == "constant" else cast(Predictor, model)
    trained_s = time.monotonic()
    group = engine.current()
    metrics = _on_first(group, lambda: case.score(predictor, config, where))
    return Result(
        case=case.name,
        size=size,
        seed=seed,
        control=control,
        ranks=group.size,
        parameters=model.count_params(),
        metrics=metrics,
        gate=case.proof(size).gate,
        data_s=ready_s - begin_s,
        training_s=trained_s - ready_s,
        scoring_s=time.monotonic() - trained_s,
        folder=where,
        model=predictor,
    )


def _scaled(config: Any, ranks: int, scaling: Scaling) -> Any:
    """Only a larger batch has a larger rate, and a way up to it."""
    if scaling == "weak":
        return replace(config, learning_rate=config.learning_rate * ranks)
    return replace(config, warmup_epochs=0)


def _batch_size(batch_size: int, ranks: int, scaling: Scaling) -> int:
    return max(1, batch_size // ranks) if scaling == "strong" else batch_size


def _constant(task: Task[Any], model: Any) -> Constant:
    truth = task.case.truth(task.case.open(task.folder, "train"))
    return Constant(commonest(truth, model.output_shape[1:]))


def _on_first(group: Group, work: Callable[[], Value]) -> Value:
    """What rank 0 makes of it, or its error, on every rank."""
    outcome: tuple[Value | None, Exception | None] = (None, None)
    if group.rank == 0:
        try:
            outcome = work(), None
        except Exception as error:  # noqa: BLE001 - the other ranks wait to hear of it
            outcome = None, error
    value, problem = group.broadcast(outcome)
    if problem is not None:
        raise problem
    return cast(Value, value)
