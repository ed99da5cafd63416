"""Going on after the death of a rank: with those that live, from what they have in memory.

The collective of the others fails at once (MPI under fault tolerance). They form a group of the
living, agree on the last common state, share the data out anew and call ``fit`` again from there;
callbacks begin again, too. A death within a collective may leave survivors one step apart: those
that are behind take the state of one that is ahead, whose last step all ranks had a part in.
"""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import keras

from interactive_dl.data.batches import Batches
from interactive_dl.engine import _lag, _rate, failures, group
from interactive_dl.engine._broadcast import broadcast_variables
from interactive_dl.engine._checkpoint import begin_at, metric_state
from interactive_dl.engine._fit_context import FitContext
from interactive_dl.engine._position import Position
from interactive_dl.engine._reduction import distributed_optimizers
from interactive_dl.engine.group import Group
from interactive_dl.engine.schedules import Rule, scale_lr
from interactive_dl.errors import PeerFailedError
from interactive_dl.telemetry import exits

OnRankLoss = Literal["shrink", "restart", "stop"]
ON_RANK_LOSS: tuple[OnRankLoss, ...] = ("shrink", "restart", "stop")

_WORD_OF_DEATH_S = 0.5
_POLL_S = 0.01


@dataclass(frozen=True)
class Lost:
    """A rank that is gone.

    Attributes:
        rank: its rank in the group that it belonged to.
        engine: its stable id.
        host: its host.
        last_step: the last step that all ranks finished.
        reason: why, as far as is known.
    """

    rank: int
    engine: int
    host: str
    last_step: int
    reason: str


@dataclass(frozen=True)
class _State:
    """What a survivor brings along."""

    position: Position
    samples: int
    is_rate_steered: bool
    metrics: list[Any]


def recover(
    model: keras.Model,
    context: FitContext,
    dead: Sequence[int],
    rule: Rule | None,
    without: Collection[int] = (),
) -> tuple[Lost, ...]:
    """Make everything ready for ``fit`` to go on among the living; each of them calls this.

    Should another rank die on the way, those that are left begin again; should one raise, all do.

    Args:
        model: that trains.
        context: of its ``fit``.
        dead: ranks of the current group that this rank knows to be dead.
        rule: how the learning rate follows the number of ranks; None leaves it.
        without: engines that live and are to be left out.

    Returns:
        The dead.

    Raises:
        GroupError: a survivor did not come.
        PeerFailedError: a survivor raised.
    """
    old = group.current()
    context.abandon_call()
    while True:
        new = group.form(set(old.engines) - set(without))
        try:
            root = _agree(model, context, new)
            _lag.settle(model)
            metrics = new.allgather(root.metrics)
            break
        except PeerFailedError as error:
            # Others may have heard of a death, and left, before this one hears of it.
            cause = failures.cause_of_failure(new)
            if cause.failure or not cause.dead:
                raise failures.explanation(new, error, cause) from error
        except BaseException as error:
            failures.tell_and_leave(new, error)
            raise
    gone = [rank for rank, one in enumerate(old.engines) if one not in {*new.engines, *without}]
    factor = rate_change(rule, old.size, new.size)
    context.rate_factor *= factor
    scale_rates(model, factor)
    for data in context.data:
        if isinstance(data, Batches):
            data.adopt(new)
    begin_at(context, root.position, root.samples, [one for one in metrics if one])
    context.restarts += 1
    return tuple(
        Lost(rank, old.engines[rank], old.hosts[rank], root.position.step, _reason(old, rank))
        for rank in sorted({*gone, *dead})
    )


def _agree(model: keras.Model, context: FitContext, new: Group) -> _State:
    """Give all survivors the state of one that is furthest; its own words, but this rank's sums."""
    mine = _State(
        context.position,
        context.samples_before(),
        context.is_rate_steered,
        metric_state(model) if context.position.batch else [],
    )
    states = new.allgather(mine)
    furthest = max(_order(state.position) for state in states)
    root = next(r for r, state in enumerate(states) if _order(state.position) == furthest)
    if any(state.position != states[root].position for state in states):
        owners = (model, *distributed_optimizers(model))
        broadcast_variables([one for owner in owners for one in owner.variables], root)
    context.position = states[root].position
    context.is_rate_steered = states[root].is_rate_steered
    mine_or_root = mine if mine.position == states[root].position else states[root]
    return _State(
        states[root].position, states[root].samples, context.is_rate_steered, mine_or_root.metrics
    )


def _order(position: Position) -> tuple[int, int, int]:
    return position.step, position.epoch, position.batch


def rate_change(rule: Rule | None, old: int, new: int) -> float:
    """By what the learning rate follows the global batch, each rank keeping its own.

    Args:
        rule: how it follows; None leaves it.
        old: number of ranks so far.
        new: number of ranks from now on.
    """
    return 1.0 if rule is None else scale_lr(1.0, rule, new) / scale_lr(1.0, rule, old)


def scale_rates(model: keras.Model, factor: float) -> None:
    """Multiply the learning rates that are plain numbers."""
    for optimizer in distributed_optimizers(model):
        for part in _rate.parts(optimizer):
            if _rate.has_fixed_rate(part):
                rate = _rate.get_rate(part) * factor
                _rate.set_rate(part, rate, momentum_correction=True)


def _reason(old: Group, rank: int) -> str:
    """What the watcher of the engine has noted, if it is on this host or a shared file system."""
    folder, engine = os.environ.get("IDL_CLUSTER"), old.engines[rank]
    if folder is None:
        return "its process died"
    deadline_s = time.monotonic() + _WORD_OF_DEATH_S
    while (ended := exits.exits(Path(folder)).get(engine)) is None:
        if time.monotonic() > deadline_s:
            return "its process died"
        time.sleep(_POLL_S)
    return ended.reason
