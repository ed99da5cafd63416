"""The callbacks that every distributed training needs, in the order they need."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import keras

from interactive_dl.engine import _fit
from interactive_dl.engine._agreement import DriftCheck, EpochOrder, SamePlan
from interactive_dl.engine._broadcast import BroadcastState
from interactive_dl.engine._checkpoint import (
    RESTORED,
    Checkpoint,
    CheckpointFile,
    Resume,
    checkpoint_path,
)
from interactive_dl.engine._keep_position import KeepPosition
from interactive_dl.engine._live import Live
from interactive_dl.engine._metrics import AverageStatistics, MetricAverage, Throughput
from interactive_dl.engine._noise import RankNoise
from interactive_dl.engine._recovery import ON_RANK_LOSS, OnRankLoss
from interactive_dl.engine._stages import StageOrder
from interactive_dl.engine._warmup import LearningRateWarmup
from interactive_dl.engine.group import current
from interactive_dl.engine.knobs import Knob
from interactive_dl.engine.schedules import Rule, scale_lr
from interactive_dl.telemetry import replay


def callbacks(
    name: str,
    *,
    warmup_epochs: float = 0,
    warmup_start: float | None = None,
    plateau: Mapping[str, Any] | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    resume: bool = True,
    parameters: Mapping[str, Any] | None = None,
    knobs: Iterable[Knob] = (),
    on_rank_loss: OnRankLoss = "shrink",
    lr_rule: Rule | None = "linear",
    drift_steps: Collection[int] = (1, 2),
    verbose: int = 0,
) -> list[keras.callbacks.Callback]:
    """What ``model.fit(..., callbacks=...)`` needs on every rank.

    Always: the ranks' plans are compared, rank 0's state is broadcast, the ranks' random numbers
    are parted, metrics and moving statistics are averaged, ``samples_per_s`` is logged, drifting
    weights raise, the optimizers of an ``engine.Stages`` follow one another. The run is written to
    a journal while it goes on, and takes commands: ``cluster.runs[name]`` in the notebook.

    Args:
        name: the run's name.
        warmup_epochs: raise the learning rate step by step over this many epochs.
        warmup_start: share of the rate to begin with; by default 1 / ranks, the unscaled rate
            under the linear rule.
        plateau: options of ``keras.callbacks.ReduceLROnPlateau`` (``{"patience": 8}``); it sees
            averaged metrics, so all ranks lower their rates alike.
        checkpoint: a ``.keras`` file that rank 0 writes after every epoch, and when the training
            is stopped or interrupted within one. Another training that begins with it takes it
            over: this one then ends with a ``CheckpointTakenError``.
        resume: go on from that file where it exists.
        parameters: what you want to find again beside the curves (numbers and texts by name).
        knobs: further knobs besides learning rate, momentum, weight decay, clipping and dropout.
        on_rank_loss: when a rank dies, ``shrink``: the others go on from what they have in memory,
            with the data shared out anew; ``restart``: new engines take the places of the dead, and
            all go on from the last checkpoint; ``stop``: all raise, naming it.
        lr_rule: how the learning rate follows the number of ranks then, ``linear`` or ``sqrt``;
            None leaves it.
        drift_steps: steps after which weights are compared, besides every epoch's end.
        verbose: 1: rank 0 tells of changes of the learning rate.

    Returns:
        Fresh callbacks; add your own after them.

    Raises:
        ValueError: a checkpoint's name that does not end in ``.keras``; an unknown choice; a
            restart without a checkpoint.
    """
    _check_choices(on_rank_loss, lr_rule, checkpoint)
    reducer = None if plateau is None else _plateau(plateau, verbose)
    noise = RankNoise()
    path = None if checkpoint is None else checkpoint_path(checkpoint)
    if replay.VARIABLE in os.environ:
        path = None  # a replay begins at the beginning, and leaves the real run's file alone
    file = None if path is None else CheckpointFile(path, name)
    writer = None if file is None else Checkpoint(file, noise, reducer)
    _fit.install()
    chosen: list[keras.callbacks.Callback | None] = [
        KeepPosition(),
        SamePlan(),
        LearningRateWarmup(warmup_epochs, start_factor=warmup_start, verbose=verbose)
        if warmup_epochs
        else None,
        Resume(file, noise, reducer, begins_there=resume),
        BroadcastState(),
        noise,
        EpochOrder(),
        StageOrder(is_loud=bool(verbose) and current().rank == 0),
        AverageStatistics(),
        MetricAverage(),
        Throughput(),
        DriftCheck(drift_steps),
        reducer,
        writer,
        Live(
            name,
            parameters=parameters or {},
            knobs=knobs,
            on_rank_loss=on_rank_loss,
            lr_rule=lr_rule,
            checkpoint=writer,
            resumes=resume,
        ),
    ]
    return [callback for callback in chosen if callback is not None]


def _check_choices(on_rank_loss: str, lr_rule: str | None, checkpoint: object) -> None:
    if on_rank_loss not in ON_RANK_LOSS:
        known = ", ".join(ON_RANK_LOSS)
        raise ValueError(f"on_rank_loss must be one of {known}, but got {on_rank_loss!r}.")
    if on_rank_loss == "restart" and checkpoint is None:
        raise ValueError(
            "A restart goes back to the last checkpoint, but the run writes none. Give it a file:"
            ' engine.callbacks(name, checkpoint="name.keras", on_rank_loss="restart").'
        )
    if lr_rule is not None:
        scale_lr(1.0, lr_rule, 1)  # type: ignore[arg-type]


class _ReduceLROnPlateau(keras.callbacks.ReduceLROnPlateau):
    """Keras's own, which begins a resumed training in the state of its checkpoint."""

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Begin afresh, or where the checkpoint was."""
        super().on_train_begin(logs)
        self.__dict__.update(self.__dict__.pop(RESTORED, {}))


def _plateau(options: Mapping[str, Any], verbose: int) -> keras.callbacks.ReduceLROnPlateau:
    speaking = verbose if current().rank == 0 else 0
    return _ReduceLROnPlateau(**{"verbose": speaking, **options})
