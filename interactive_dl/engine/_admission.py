"""Engines are taken into a training: all ranks form the new group and begin again, alike.

The members are all at the same step, with the same state; the new engines bring nothing along.
Weights and optimizer follow when ``fit`` begins (``BroadcastState``), from rank 0, a member.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras

from interactive_dl.data.batches import Batches
from interactive_dl.engine import _lag, _rate, group
from interactive_dl.engine._checkpoint import begin_at, metric_state
from interactive_dl.engine._fit_context import FitContext
from interactive_dl.engine._growth import Growth
from interactive_dl.engine._position import Position
from interactive_dl.engine._recovery import rate_change, scale_rates
from interactive_dl.engine._reduction import attach, distributed_optimizers, reduction_of
from interactive_dl.engine.schedules import Rule
from interactive_dl.errors import GroupError, TrainingError


@dataclass(frozen=True)
class Entry:
    """What rank 0 tells all ranks.

    Attributes:
        run: id of the run.
        position: where ``fit`` goes on.
        samples: of the epoch that has begun, of all ranks, that are done.
        metrics: sums of that epoch's metrics, by rank of the members.
        rate_factor: see ``FitContext``, before the new engines came.
        is_rate_steered: see ``FitContext``.
        goes_back: see ``FitContext``.
        members: how many ranks there were.
        reductions: of the distributed optimizers.
        schedules: of their learning rates; None for a plain rate.
        batch_sizes: by data object; None for what has none.
    """

    run: str
    position: Position
    samples: int
    metrics: list[list[Any]]
    rate_factor: float
    is_rate_steered: bool
    goes_back: bool
    members: int
    reductions: list[Any]
    schedules: list[Any]
    batch_sizes: list[int | None]


def admit(
    model: keras.Model, context: FitContext, growth: Growth, run: str, rule: Rule | None
) -> None:
    """Take in those that are ready; every member calls it. Whoever does not come is left out.

    Args:
        model: that trains.
        context: of its ``fit``.
        growth: the new engines, all of them decided.
        run: id of the run.
        rule: how the learning rate follows the number of ranks; None leaves it.

    Raises:
        PeerFailedError: a rank died meanwhile.
    """
    old, optimizers = group.current(), distributed_optimizers(model)
    _lag.settle(model)
    metrics = old.allgather(metric_state(model) if context.position.batch else [])
    entry = Entry(
        run=run,
        position=context.position,
        samples=context.samples_before(),
        metrics=metrics,
        rate_factor=context.rate_factor,
        is_rate_steered=context.is_rate_steered,
        goes_back=context.goes_back,
        members=old.size,
        reductions=[reduction_of(one) for one in optimizers],
        schedules=[_rate.schedule_of(part) for one in optimizers for part in _rate.parts(one)],
        batch_sizes=[getattr(one, "batch_size", None) for one in context.data],
    )
    wanted = growth.admit(old)
    try:
        new = group.form(wanted)
    except GroupError as error:
        growth.problems.update(dict.fromkeys(growth.ready, f"it did not come: {error}"))
        new = group.form(old.engines)
    _begin(model, context, new, new.broadcast(entry), rule, is_new=False)


def enter(
    model: keras.Model, context: FitContext, wanted: tuple[int, ...], rule: Rule | None
) -> str:
    """Join the group; the new engine's part of ``admit``.

    Returns:
        Id of the run.

    Raises:
        GroupError: it was not formed.
        PeerFailedError: a rank died meanwhile.
    """
    new = group.form(wanted)
    entry: Entry = new.broadcast(None)
    _begin(model, context, new, entry, rule, is_new=True)
    return entry.run


def _take_over(optimizers: list[Any], entry: Entry) -> None:
    """What is no variable, and may depend on what a process has done or how many ranks it saw.

    Raises:
        TrainingError: the model has other optimizers than the members'.
    """
    if len(optimizers) != len(entry.reductions):
        raise TrainingError(
            f"All ranks must have as many distributed optimizers, but rank 0 has"
            f" {len(entry.reductions)} and this engine {len(optimizers)}."
        )
    for optimizer, reduction in zip(optimizers, entry.reductions, strict=True):
        attach(optimizer, reduction)
    parts = [part for one in optimizers for part in _rate.parts(one)]
    for part, schedule in zip(parts, entry.schedules, strict=True):
        _rate.set_schedule(part, schedule)


def _begin(
    model: keras.Model,
    context: FitContext,
    new: group.Group,
    entry: Entry,
    rule: Rule | None,
    *,
    is_new: bool,
) -> None:
    context.position = entry.position
    context.rate_factor = entry.rate_factor
    context.is_rate_steered = entry.is_rate_steered
    context.goes_back = entry.goes_back
    if is_new:
        _take_over(distributed_optimizers(model), entry)
    factor = rate_change(rule, entry.members, new.size)
    context.rate_factor *= factor
    if not is_new:
        scale_rates(model, factor)
    for data, batch_size in zip(context.data, entry.batch_sizes, strict=True):
        if isinstance(data, Batches):
            data.adopt(new, batch_size)
    begin_at(context, entry.position, entry.samples, entry.metrics)
    context.restarts += 1
