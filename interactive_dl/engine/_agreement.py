"""What must be alike on all ranks: the plan of a training before it, the weights during it."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from typing import Any

import keras
import numpy as np

from interactive_dl.engine import _fit_context
from interactive_dl.engine._normalization import synchronized_layers
from interactive_dl.engine._reduction import reduction_of
from interactive_dl.engine.group import Group, current
from interactive_dl.errors import DriftError, TrainingError

_REMEDY = (
    "Compile with engine.distribute(optimizer) and fit with callbacks=engine.callbacks(name)"
    " on every rank, after engine.init()."
)


class SamePlan(keras.callbacks.Callback):
    """Refuse a training whose ranks would wait for each other for ever.

    All ranks must plan the same number of epochs, of steps per epoch and of steps in one call, and
    combine their gradients in the same way; else one of them would stand alone in an allreduce.
    """

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Compare the ranks' plans.

        Raises:
            TrainingError: they differ.
        """
        group = current()
        plan = {
            "epochs": self.params.get("epochs"),
            "steps per epoch": self.params.get("steps"),
            "steps_per_execution": self.model.steps_per_execution,
            "reduction": reduction_of(self.model.optimizer),
            "synchronized normalizations": len(synchronized_layers(self.model)),
        }
        plans = group.allgather(plan)
        for item in plan:
            values = [other[item] for other in plans]
            if any(value != values[0] for value in values):
                listed = ", ".join(f"rank {rank}: {value}" for rank, value in enumerate(values))
                raise TrainingError(
                    f"All ranks must have the same {item}, but got {listed}. Share the data out"
                    " with data.open(...).shard(group).batch(n), and call compile and fit alike"
                    " everywhere."
                )


class EpochOrder(keras.callbacks.Callback):
    """Tell the training data which epoch begins, so that a resumed ``fit`` shuffles alike."""

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Set the epoch of data that has an order per epoch."""
        training = next(iter(_fit_context.data_of(self.model)), None)
        set_epoch = getattr(training, "set_epoch", None)
        if set_epoch is not None:
            set_epoch(epoch)


class DriftCheck(keras.callbacks.Callback):
    """Raise when the ranks' weights drift apart.

    Ranks that begin alike and apply the same averaged gradients stay alike bit for bit; any
    difference means that something was not averaged or not broadcast. 8 bytes per weight tensor
    are compared after some of the first steps and at every epoch's end.

    Args:
        steps: numbers of the steps of a training to check after, from 1.
    """

    def __init__(self, steps: Collection[int] = (1, 2)) -> None:
        super().__init__()
        self.steps = frozenset(steps)
        self._step = 0

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Count steps from here."""
        self._step = 0

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Check after the first steps."""
        self._step += 1
        if self._step in self.steps:
            check_weights_agree(self.model, f"after step {self._step}")

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Check at the end of an epoch."""
        check_weights_agree(self.model, f"after epoch {epoch + 1}")


def check_weights_agree(model: keras.Model, when: str) -> None:
    """Compare the trainable weights of all ranks.

    Raises:
        DriftError: they differ; names the first tensor that does. On every rank.
    """
    group = current()
    digests = group.allgather([weight_digest(variable) for variable in model.trainable_variables])
    for index, variable in enumerate(model.trainable_variables):
        differing = [
            rank for rank, other in enumerate(digests) if other[index] != digests[0][index]
        ]
        if differing:
            raise DriftError(_drift_message(group, variable.path, differing, model, when))


def weight_digest(variable: keras.Variable) -> bytes:
    """8 bytes that tell a tensor's value bit for bit."""
    value = np.ascontiguousarray(keras.ops.convert_to_numpy(variable.value))
    return hashlib.blake2b(value.tobytes(), digest_size=8).digest()


def _drift_message(
    group: Group, tensor: str, differing: list[int], model: keras.Model, when: str
) -> str:
    names = ", ".join(group.engine_name(rank) for rank in differing)
    cause = (
        "The model's optimizer is not distributed, so gradients are not averaged."
        if reduction_of(model.optimizer) is None
        else "The ranks did not begin alike, or something changes weights on some ranks only."
    )
    return (
        f"The ranks' weights differ {when}, first in {tensor!r}: {names} from rank 0."
        f" {cause} {_REMEDY}"
    )
