"""Horovod's two libraries (TensorFlow's and torch's) behind one small interface.

Each framework has a Horovod library of its own with a state of its own; both reduce over whatever
communicator they were started on. Nothing here imports a framework before it is asked for.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from functools import cache
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from mpi4py import MPI

Framework = Literal["tensorflow", "torch"]
Compression = Literal["none", "fp16"]
ReduceOp = Literal["average", "sum", "adasum"]

FRAMEWORKS: tuple[Framework, ...] = ("tensorflow", "torch")
COMPRESSIONS: tuple[Compression, ...] = ("none", "fp16")
REDUCE_OPS: tuple[ReduceOp, ...] = ("average", "sum", "adasum")


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


def start(framework: Framework, comm: MPI.Intracomm) -> None:
    """Initialise this framework's Horovod on ``comm`` (2-7 ms); restarts it if it runs.

    Horovod reduces over a duplicate of what it is given, which nobody else can reach. MPI tells of
    a death only those ranks of a collective that talk to the dead one; the others would wait for
    ever for those who have left. So the duplicate inherits an error handler that revokes it, which
    ends the collective for everybody.
    """
    hvd = library(framework)
    if hvd.is_initialized():
        hvd.shutdown()
    own = comm.Dup()
    own.Set_errhandler(_revoking())
    hvd.init(comm=own)
    own.Free()


@cache
def _revoking() -> MPI.Errhandler:
    """One for the process: MPI has room for a few only."""
    from mpi4py import MPI

    def revoke(comm: MPI.Comm, _error: int) -> None:
        comm.Revoke()

    return MPI.Comm.Create_errhandler(revoke)


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
        compression: ``fp16`` halves the traffic, at half precision.

    Returns:
        The combined tensors, in order, with the shapes and dtypes they came with.
    """
    hvd = library(framework)
    options: dict[str, Any] = {
        "name": name,
        "op": {"average": hvd.Average, "sum": hvd.Sum, "adasum": hvd.Adasum}[op],
        "compression": getattr(hvd.Compression, compression),
    }
    if framework == "tensorflow":
        import tensorflow as tf

        tensors = [tf.convert_to_tensor(tensor) for tensor in tensors]
        options["ignore_name_scope"] = True
    if op == "adasum":  # Horovod 0.28's grouped form fails on TensorFlow (an unbound variable)
        return [
            hvd.allreduce(tensor, **{**options, "name": f"{name}.{index}"})
            for index, tensor in enumerate(tensors)
        ]
    return list(hvd.grouped_allreduce(list(tensors), **options))
