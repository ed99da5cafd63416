"""One starting point for all ranks."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from interactive_dl.engine.group import current


class BroadcastState(keras.callbacks.Callback):
    """Copy the root's weights, statistics and optimizer state to all ranks before the first step.

    Random generators of layers (dropout, augmentation) then get states of their own per rank, so
    that the ranks' noise is independent.

    Args:
        root_rank: whose state to take.
    """

    def __init__(self, root_rank: int = 0) -> None:
        super().__init__()
        self.root_rank = root_rank

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Broadcast, once ``fit`` has built everything."""
        optimizer = self.model.optimizer
        if not optimizer.built:
            optimizer.build(self.model.trainable_variables)
        broadcast_variables(self.model.variables, self.root_rank)
        broadcast_variables(optimizer.variables, self.root_rank)
        spread_generators(self.model)


def broadcast_variables(variables: list[keras.Variable], root_rank: int = 0) -> None:
    """Give every rank the root's values of ``variables``.

    Raises:
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
    for variable in variables:
        value = np.asarray(keras.ops.convert_to_numpy(variable.value))
        variable.assign(group.broadcast_array(value, root_rank))


def spread_generators(model: keras.Model) -> None:
    """Give each rank's layers random states of their own, derived from the root's."""
    rank = current().rank
    for variable in generators(model):
        state = np.array(keras.ops.convert_to_numpy(variable.value))
        state.flat[0] += np.asarray(rank * 0x9E3779B1 % 2**31, dtype=state.dtype)
        variable.assign(state)


def generators(model: keras.Model) -> list[keras.Variable]:
    """The states of the layers' random generators."""
    return [v for v in model.non_trainable_variables if v.path.endswith("seed_generator_state")]


def _first_difference(mine: list[Any], theirs: list[Any]) -> str:
    if len(mine) != len(theirs):
        return f"{len(mine)} variables, not {len(theirs)}."
    index = next(i for i, (a, b) in enumerate(zip(mine, theirs, strict=True)) if a != b)
    return f"variable {index} is {mine[index]}, not {theirs[index]}."
