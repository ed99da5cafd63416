"""Random numbers of a training: independent on every rank, and the same again when it is resumed.

Keras keeps the state of layers such as dropout in variables on TensorFlow, which its files leave
out; on torch, dropout draws from torch's one global generator whatever its layer's seed.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np

from interactive_dl.engine.group import current

_GOLDEN_RATIO = 0x9E3779B1  # spreads small numbers over 32 bits (Knuth's multiplicative hashing)


class RankNoise(keras.callbacks.Callback):
    """Give each rank random numbers of its own, derived from rank 0's.

    It comes after ``BroadcastState``, which makes all ranks' generators alike.
    """

    def __init__(self) -> None:
        super().__init__()
        self._base: int | None = None

    def state(self) -> dict[str, Any]:
        """What a checkpoint of rank 0 must keep."""
        states = [keras.ops.convert_to_numpy(v.value).tolist() for v in generators(self.model)]
        return {"base": self._base, "generators": states}

    def restore(self, state: dict[str, Any]) -> None:
        """Take up a checkpoint's state, on rank 0."""
        self._base = state["base"]
        for generator, value in zip(generators(self.model), state["generators"], strict=True):
            generator.assign(np.array(value, dtype=generator.dtype))

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Part the ranks' generators."""
        part_generators(self.model)
        if self._base is None:
            self._base = int(np.random.randint(2**31))
        self._base = current().broadcast(self._base)

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Seed torch's generator for this epoch on this rank."""
        if keras.backend.backend() == "torch":
            assert self._base is not None
            sys.modules["torch"].manual_seed(
                self._base + _spread(epoch * current().size + current().rank)
            )

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Draw anew for the next training."""
        self._base = None


@contextmanager
def generator_kept() -> Iterator[None]:
    """Leave torch's generator, from which dropout draws, as it is: reading data draws from it."""
    torch = sys.modules["torch"] if keras.backend.backend() == "torch" else None
    state = None if torch is None else torch.get_rng_state()
    try:
        yield
    finally:
        if torch is not None:
            torch.set_rng_state(state)


def part_generators(model: keras.Model) -> None:
    """Give each rank's layers random states of their own, derived from what they have in common."""
    for generator in generators(model):
        value = np.array(keras.ops.convert_to_numpy(generator.value))
        value.flat[0] += np.asarray(_spread(current().rank), dtype=value.dtype)
        generator.assign(value)


def generators(model: keras.Model) -> list[keras.Variable]:
    """The states of the layers' random generators."""
    return [v for v in model.non_trainable_variables if v.path.endswith("seed_generator_state")]


def _spread(number: int) -> int:
    return number * _GOLDEN_RATIO % 2**31
