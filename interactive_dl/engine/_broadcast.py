"""One starting point for all ranks."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from interactive_dl.engine._reduction import distributed_optimizers
from interactive_dl.engine.group import current


class BroadcastState(keras.callbacks.Callback):
    """Copy the root's weights, statistics and optimizer state to all ranks before the first step.

    Args:
        root_rank: whose state to take.
    """

    def __init__(self, root_rank: int = 0) -> None:
        super().__init__()
        self.root_rank = root_rank

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Broadcast, once ``fit`` has built everything."""
        model = self.model
        if model.optimizer is not None and not model.optimizer.built:
            model.optimizer.build(model.trainable_variables)
        broadcast_variables(model.variables, self.root_rank)
        others = [one for one in distributed_optimizers(model) if one is not model.optimizer]
        for optimizer in (model.optimizer, *others):
            if optimizer is not None:
                broadcast_variables(optimizer.variables, self.root_rank)


def broadcast_variables(variables: list[keras.Variable], root_rank: int = 0) -> None:
    """Give every rank the root's values of ``variables``, of all of them or of none.

    Raises:
        PeerFailedError: a rank failed meanwhile; nothing has changed here.
        ValueError: the ranks' variables differ in number, shape or dtype.
    """
    group = current()
    signature = [(tuple(variable.shape), str(variable.dtype)) for variable in variables]
    signatures = group.allgather(signature)
    for rank, other in enumerate(signatures):
        if other != signatures[root_rank]:
            raise ValueError(
                f"All ranks must train the same model, but the variables of"
                f" {group.engine_name(rank)} differ from those of {group.engine_name(root_rank)}:"
                f" {_first_difference(other, signatures[root_rank])}"
            )
    mine = (np.asarray(keras.ops.convert_to_numpy(variable.value)) for variable in variables)
    values = [group.broadcast_array(value, root_rank) for value in mine]
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def _first_difference(mine: list[Any], theirs: list[Any]) -> str:
    if len(mine) != len(theirs):
        return f"{len(mine)} variables, not {len(theirs)}."
    index = next(i for i, (a, b) in enumerate(zip(mine, theirs, strict=True)) if a != b)
    return f"variable {index} is {mine[index]}, not {theirs[index]}."
