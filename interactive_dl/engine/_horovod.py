"""Horovod's two libraries (TensorFlow's and torch's) behind one small interface.

Each framework has a Horovod library of its own with a state of its own; both reduce over whatever
communicator they were started on. Nothing here imports a framework before it is asked for.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Sequence
from functools import cache
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal

from interactive_dl.engine import _half, _tuning
from interactive_dl.errors import GroupError

if TYPE_CHECKING:
    from interactive_dl.engine._links import Links

Framework = Literal["tensorflow", "torch"]
Compression = Literal["none", "fp16"]
ReduceOp = Literal["average", "sum", "adasum"]

FRAMEWORKS: tuple[Framework, ...] = ("tensorflow", "torch")
COMPRESSIONS: tuple[Compression, ...] = ("none", "fp16")
REDUCE_OPS: tuple[ReduceOp, ...] = ("average", "sum", "adasum")

PATCHED = "+idl"
"""In the version of a Horovod that can be started again, whatever it was tuned to."""


def keras_framework() -> Framework:
    """The framework that Keras runs on in this process, without importing Keras for it.

    Raises:
        ValueError: Keras runs on a backend that Horovod cannot reduce for.
    """
    keras = sys.modules.get("keras")
    name = keras.backend.backend() if keras else os.environ.get("KERAS_BACKEND", "tensorflow")
    if name not in FRAMEWORKS:
        raise ValueError(
            f"Horovod reduces gradients of the Keras backends {', '.join(FRAMEWORKS)}, but Keras"
            f" runs on {name!r} here. Set KERAS_BACKEND=tensorflow before Keras is imported."
        )
    return name


def library(framework: Framework) -> ModuleType:
    """``horovod.tensorflow`` or ``horovod.torch``."""
    return importlib.import_module(f"horovod.{framework}")


def framework_of(basics: object) -> Framework | None:
    """Whose library a ``HorovodBasics`` object speaks for; None for a framework not known here."""
    for name in FRAMEWORKS:
        operations = sys.modules.get(f"horovod.{name}.mpi_ops")
        if operations is not None and operations._basics is basics:
            return name
    return None


def is_running(framework: Framework) -> bool:
    """Whether this framework's Horovod is loaded and initialised."""
    loaded = sys.modules.get(f"horovod.{framework}")
    return loaded is not None and bool(loaded.is_initialized())


def start(framework: Framework, links: Links) -> None:
    """Initialise this framework's Horovod on a group; restarts it if it runs.

    All ranks are tuned as rank 0 is, which has been an engine for longest: one that is new knows
    of no tuning, and Horovod hangs where ranks differ in it.

    Raises:
        GroupError: it is tuned, and is one that may crash at the start after this one.
        PeerFailedError: a member failed.
    """
    hvd = library(framework)
    _tuning.set_variables(links.broadcast(_tuning.variables(), 0))
    _check_that_it_starts_again()
    if hvd.is_initialized():
        hvd.shutdown()
    links.start_horovod(hvd)


def _check_that_it_starts_again() -> None:
    version = importlib.import_module("horovod").__version__
    if _tuning.variables() and PATCHED not in version:
        raise GroupError(
            f"A tuned Horovod must be that of `make setup`, a version with {PATCHED!r}, but"
            f" {version} is installed: it may crash when it is started again after"
            f" {', '.join(_tuning.variables())}. Type: make setup; or, to leave it untuned:"
            " engine.init(tuning=engine.Tuning())"
        )


def shutdown() -> tuple[Framework, ...]:
    """Shut down every running Horovod; peers inside a collective get an error at once.

    Returns:
        The frameworks whose Horovod was running.
    """
    running = tuple(name for name in FRAMEWORKS if is_running(name))
    for name in running:
        library(name).shutdown()
    return running


def is_collective_error(error: BaseException) -> bool:
    """Whether ``error`` is Horovod saying that a collective could not be completed."""
    if type(error).__name__ == "HorovodInternalError":
        return True
    module = type(error).__module__
    return module.startswith("tensorflow") and "orovod" in str(error)


def differentiable_sum(framework: Framework, tensor: Any, *, name: str) -> Any:
    """``tensor`` summed over all ranks, within a model.

    Its gradient is that of the sum of all ranks' losses: the sum of the ranks' gradients. Averaged
    over the ranks, as gradients of weights are, that is the gradient of the mean loss.

    Args:
        framework: whose tensor it is.
        tensor: the same shape on every rank.
        name: the same on every rank; may be summed several times in a step.
    """
    return _DIFFERENTIABLE_SUMS[framework](tensor, name)


def _sum_in_tensorflow(tensor: Any, name: str) -> Any:
    import horovod.tensorflow as hvd
    import tensorflow as tf

    if not tf.executing_eagerly():  # operations of one graph may run at the same time
        name = tf.compat.v1.get_default_graph().unique_name(name)
    options = {"op": hvd.Sum, "ignore_name_scope": True}

    @tf.custom_gradient
    def summed(tensor: Any) -> Any:
        def gradient(upstream: Any) -> Any:
            return hvd.allreduce(upstream, name=f"{name}.gradient", **options)

        return hvd.allreduce(tensor, name=name, **options), gradient

    return summed(tensor)


def _sum_in_torch(tensor: Any, name: str) -> Any:
    if tensor.is_meta:  # Keras is finding out shapes
        return tensor
    return _torch_sum().apply(tensor, name)


@cache
def _torch_sum() -> Any:
    import horovod.torch as hvd
    import torch

    class Summed(torch.autograd.Function):
        @staticmethod
        def forward(context: Any, tensor: Any, name: str) -> Any:
            context.name = name
            return hvd.allreduce(tensor.contiguous(), name=name, op=hvd.Sum)

        @staticmethod
        def backward(context: Any, upstream: Any) -> Any:
            name = f"{context.name}.gradient"
            return hvd.allreduce(upstream.contiguous(), name=name, op=hvd.Sum), None

    return Summed


_DIFFERENTIABLE_SUMS: dict[Framework, Callable[[Any, str], Any]] = {
    "tensorflow": _sum_in_tensorflow,
    "torch": _sum_in_torch,
}


def reduce(
    framework: Framework,
    tensors: Sequence[Any],
    *,
    name: str,
    op: ReduceOp,
    compression: Compression,
) -> list[Any]:
    """Combine ``tensors`` over all ranks, in one fused group (Adasum: tensor by tensor).

    Args:
        framework: whose tensors they are.
        tensors: dense tensors or ``tf.IndexedSlices`` (made dense); same shapes on every rank.
        name: the same on every rank and unique among the collectives in flight.
        op: ``average``, ``sum`` or ``adasum`` (ranks must be a power of two).
        compression: ``fp16`` halves the traffic, at half precision, guarded against overflow
            (``_half``; not with Adasum).

    Returns:
        The combined tensors, in order, with the shapes and dtypes they came with.
    """
    if op == "adasum":
        return _adasum(framework, tensors, name, compression)
    return begin_reduce(framework, tensors, name=name, op=op, compression=compression)()


def begin_reduce(
    framework: Framework,
    tensors: Sequence[Any],
    *,
    name: str,
    op: ReduceOp,
    compression: Compression,
) -> Callable[[], list[Any]]:
    """Begin what ``reduce`` does, by average or sum, and go on meanwhile.

    On TensorFlow the operation is part of the compiled step, which runs it when ``tensors`` are
    there, beside whatever does not need its results; on torch it is in flight at once.

    Returns:
        A function that waits and gives the combined tensors.
    """
    begin = _begin_in_tensorflow if framework == "tensorflow" else _begin_in_torch
    return begin(list(tensors), name, op, compression)


def _begin_in_tensorflow(
    tensors: list[Any], name: str, op: ReduceOp, compression: Compression
) -> Callable[[], list[Any]]:
    import horovod.tensorflow as hvd
    import tensorflow as tf

    tensors = [tf.convert_to_tensor(tensor) for tensor in tensors]
    options: dict[str, Any] = {"name": name, "ignore_name_scope": True}
    if compression == "none":
        kind = hvd.Average if op == "average" else hvd.Sum
        combined = hvd.grouped_allreduce(tensors, op=kind, **options)
    else:
        ranks = hvd.size_op()
        halves = _half.halve_tensorflow(tensors, ranks)
        halves = hvd.grouped_allreduce(halves, op=hvd.Sum, **options)
        factor = ranks if op == "sum" else tf.ones_like(ranks)
        combined = _half.restore_tensorflow(halves, tensors, factor)
    return lambda: list(combined)


def _begin_in_torch(
    tensors: list[Any], name: str, op: ReduceOp, compression: Compression
) -> Callable[[], list[Any]]:
    import horovod.torch as hvd

    if compression == "none":
        kind = hvd.Average if op == "average" else hvd.Sum
        handle = hvd.grouped_allreduce_async(tensors, name=name, op=kind)
        return lambda: list(hvd.synchronize(handle))
    ranks = hvd.size()
    halves = _half.halve_torch(tensors, ranks)
    handle = hvd.grouped_allreduce_async(halves, name=name, op=hvd.Sum)
    factor = ranks if op == "sum" else 1
    return lambda: _half.restore_torch(hvd.synchronize(handle), tensors, factor)


def _adasum(
    framework: Framework, tensors: Sequence[Any], name: str, compression: Compression
) -> list[Any]:
    """Horovod 0.28's grouped form fails on TensorFlow (an unbound variable)."""
    hvd = library(framework)
    options: dict[str, Any] = {
        "op": hvd.Adasum,
        "compression": getattr(hvd.Compression, compression),
    }
    if framework == "tensorflow":
        import tensorflow as tf

        tensors = [tf.convert_to_tensor(tensor) for tensor in tensors]
        options["ignore_name_scope"] = True
    return [
        hvd.allreduce(tensor, name=f"{name}.{index}", **options)
        for index, tensor in enumerate(tensors)
    ]
