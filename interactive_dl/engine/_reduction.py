"""Where the gradients of a Keras 3 optimizer are combined over the ranks.

One method of the optimizer object is overridden, not its class, so that Keras saves and loads it
as what it is. Horovod's own wrapper overrides Keras 2 methods that Keras 3 never calls, and so
reduces nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import MethodType
from typing import Any

import keras

from interactive_dl.engine import _control, _horovod, _phases

_ATTRIBUTE = "_idl_reduction"


@dataclass(frozen=True)
class Reduction:
    """How an optimizer's gradients are combined over the ranks.

    Attributes:
        name: names the collective; the same on every rank.
        op: ``average``, ``sum`` or ``adasum``.
        compression: ``none`` or ``fp16``.
    """

    name: str
    op: _horovod.ReduceOp
    compression: _horovod.Compression

    def __call__(self, gradients: Sequence[Any]) -> list[Any]:
        """Combine the gradients that are not None; shapes and dtypes stay.

        The control word travels with them, and the clock of the step's phases sees them pass.
        """
        present = [gradient for gradient in gradients if gradient is not None]
        if not present:
            return list(gradients)
        word, clock = _control.word(), _phases.clock()
        present, ready = clock.gradients_ready(present)
        *combined, said = self._combine([*present, word.send()])
        word.receive(said)
        reduced = iter(clock.reduced(combined, ready))
        return [None if gradient is None else next(reduced) for gradient in gradients]

    def begin(self, tensors: Sequence[Any]) -> Callable[[list[Any]], tuple[list[Any], list[Any]]]:
        """Begin to combine tensors that are there before the step computes.

        The control word travels with them, as the step was begun.

        Returns:
            A function of this step's own gradients, which waits, and gives the combined tensors and
            those gradients; to be called once they are computed.
        """
        word, clock = _control.word(), _phases.clock()
        arrive = _horovod.begin_reduce(
            _horovod.keras_framework(),
            [*tensors, word.send()],
            name=self.name,
            op=self.op,
            compression=self.compression,
        )

        def wait(gradients: list[Any]) -> tuple[list[Any], list[Any]]:
            gradients, ready = clock.gradients_ready(gradients)
            *combined, said = arrive()
            word.receive(said)
            all_there = clock.reduced([*combined, *gradients], ready)
            return all_there[: len(combined)], all_there[len(combined) :]

        return wait

    def _combine(self, tensors: Sequence[Any]) -> list[Any]:
        """The last tensor is the control word, of which a mean or a sum is wanted."""
        framework = _horovod.keras_framework()
        options: dict[str, Any] = {"compression": self.compression}
        if self.op != "adasum":
            return _horovod.reduce(framework, tensors, name=self.name, op=self.op, **options)
        *gradients, word = tensors
        combined = _horovod.reduce(framework, gradients, name=self.name, op="adasum", **options)
        name = f"{self.name}.word"
        return [*combined, *_horovod.reduce(framework, [word], name=name, op="sum", **options)]


def reduction_of(optimizer: Any) -> Reduction | None:
    """How this optimizer's gradients are combined; None if they are not."""
    return getattr(optimizer, _ATTRIBUTE, None)


def distributed_optimizers(model: Any) -> list[Any]:
    """The optimizers of a model that reduce: that of ``compile``, and others among its attributes
    (a model with a ``train_step`` of its own may have several).
    """
    return [value for value in vars(model).values() if reduction_of(value) is not None]


def lift_out_of_loss_scaling(optimizer: Any) -> None:
    """Move the reduction from a distributed optimizer to the loss scaling wrapped around it.

    ``compile`` wraps optimizers of mixed-precision models by itself. Left inside, the reduction
    would run only on ranks whose own gradients are finite, and the others would wait for ever.
    """
    inner = getattr(optimizer, "inner_optimizer", None)
    reduction = reduction_of(inner)
    if reduction is not None and hasattr(inner, "launch"):
        raise ValueError(
            "Gradient lag does not work under loss scaling: the gradients of one step would be"
            " judged and unscaled by another's. Train in float32 or bfloat16, or without lag."
        )
    if reduction is not None and reduction_of(optimizer) is None:
        _detach(inner)
        attach(optimizer, reduction)


def attach(optimizer: Any, reduction: Reduction) -> None:
    """Override one method on this one object: the first that sees the raw gradients.

    For plain optimizers it is ``_clip_gradients``: Keras calls it at every update, with the
    accumulated gradients, before it clips and updates. Optimizers that hand the gradients on to
    others (loss scaling, several for parts of a model) have an ``apply`` of their own, which may
    never call it.
    """
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        lift_out_of_loss_scaling(optimizer)
    if hasattr(optimizer, "launch"):
        _check_lag(reduction)
    elif type(optimizer).apply is keras.optimizers.Optimizer.apply:
        optimizer._clip_gradients = MethodType(_reduce_then_clip, optimizer)
    else:
        optimizer.apply = MethodType(_reduce_then_apply, optimizer)
    setattr(optimizer, _ATTRIBUTE, reduction)


def _check_lag(reduction: Reduction) -> None:
    """An optimizer with gradient lag reduces by itself; its waiting gradients may be averaged."""
    if reduction.op == "adasum":
        raise ValueError("Gradient lag combines by average or sum, but got op='adasum'.")


def _detach(optimizer: Any) -> None:
    vars(optimizer).pop("_clip_gradients", None)
    vars(optimizer).pop("apply", None)
    delattr(optimizer, _ATTRIBUTE)


def _reduce_then_clip(self: Any, gradients: Sequence[Any]) -> list[Any]:
    return list(type(self)._clip_gradients(self, reduction_of(self)(gradients)))  # type: ignore[misc]


def _reduce_then_apply(self: Any, grads: Sequence[Any], trainable_variables: Any = None) -> None:
    type(self).apply(self, reduction_of(self)(grads), trainable_variables)  # type: ignore[misc]
