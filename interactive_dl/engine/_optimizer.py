"""Distributed optimizers for Keras 3, on the TensorFlow and the torch backend.

Synchronous data-parallel SGD (Algorithm 1 of the "at scale" deck): every rank computes the
gradient of its own samples, one fused allreduce combines them, all ranks apply the same update.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras

from interactive_dl.engine import _fit, _horovod
from interactive_dl.engine._reduction import Reduction, attach
from interactive_dl.engine.group import current, ensure_framework


def distribute(
    optimizer: keras.optimizers.Optimizer | str,
    *,
    op: _horovod.ReduceOp = "average",
    compression: _horovod.Compression = "none",
    gradient_accumulation_steps: int | None = None,
) -> keras.optimizers.Optimizer:
    """Make a Keras optimizer combine its gradients over all ranks of the group.

    The gradients are combined in one fused group before clipping and update. Class, name and
    config of the optimizer stay, so ``keras.models.load_model`` reads its checkpoints anywhere.
    Under mixed precision the scaled gradients are combined before they are checked for overflow,
    so all ranks skip a step together. With gradient accumulation only the accumulated gradients
    travel, once per update (under loss scaling: every step). Sparse (embedding) gradients are
    made dense; XLA (``jit_compile``) stays off. Call it alike on every rank, after
    ``engine.init()``.

    Args:
        optimizer: any Keras 3 optimizer, or its name.
        op: ``average`` (over ranks), ``sum``, or ``adasum`` (ranks a power of two).
        compression: ``fp16`` halves the traffic, at half precision.
        gradient_accumulation_steps: steps per update, as Keras's own optimizer argument.

    Returns:
        The same optimizer.

    Raises:
        ValueError: an unknown op or compression.
        GroupError: ``engine.init()`` was not called.
    """
    _check_choice("op", op, _horovod.REDUCE_OPS)
    _check_choice("compression", compression, _horovod.COMPRESSIONS)
    optimizer = keras.optimizers.get(optimizer)
    if gradient_accumulation_steps is not None:
        optimizer = _accumulating(optimizer, gradient_accumulation_steps)
    ensure_framework(_horovod.keras_framework())
    attach(optimizer, Reduction(_next_name(), op, compression))
    _fit.install()
    return optimizer


def _accumulating(optimizer: Any, steps: int) -> Any:
    if type(optimizer).apply is not keras.optimizers.Optimizer.apply:
        kind = type(optimizer).__name__
        raise ValueError(
            f"gradient_accumulation_steps belongs to the optimizer inside {kind}:"
            " keras.optimizers.SGD(..., gradient_accumulation_steps=4)."
        )
    config = optimizer.get_config()
    return type(optimizer).from_config({**config, "gradient_accumulation_steps": steps})


def _check_choice(argument: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ValueError(f"{argument} must be one of {', '.join(known)}, but got {value!r}.")


@dataclass
class _Names:
    token: str = ""
    count: int = 0


_NAMES = _Names()


def _next_name() -> str:
    """Count optimizers per group, so that names agree on ranks with different pasts."""
    token = current().token
    if _NAMES.token != token:
        _NAMES.token, _NAMES.count = token, 0
    _NAMES.count += 1
    return f"idl.gradients.{_NAMES.count}"
