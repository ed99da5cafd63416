"""Horovod's Keras names and arguments over this package's optimizer and callbacks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import keras

from interactive_dl.engine import _horovod, _rate
from interactive_dl.engine._agreement import DriftCheck
from interactive_dl.engine._broadcast import BroadcastState
from interactive_dl.engine._metrics import MetricAverage
from interactive_dl.engine._noise import part_generators
from interactive_dl.engine._optimizer import distribute
from interactive_dl.engine._warmup import LearningRateWarmup
from interactive_dl.errors import NotReducedError

FUNCTIONS = (
    "DistributedOptimizer",
    "PartialDistributedOptimizer",
    "broadcast_global_variables",
    "load_model",
)
CALLBACKS = (
    "BroadcastGlobalVariablesCallback",
    "MetricAverageCallback",
    "LearningRateScheduleCallback",
    "LearningRateWarmupCallback",
)


def DistributedOptimizer(
    optimizer: keras.optimizers.Optimizer,
    name: str | None = None,
    device_dense: str = "",
    device_sparse: str = "",
    compression: Any = None,
    sparse_as_dense: bool = False,
    gradient_predivide_factor: float = 1.0,
    op: Any = None,
    num_groups: int = 0,
    groups: Any = None,
    *,
    backward_passes_per_step: int = 1,
    average_aggregated_gradients: bool = False,
    process_set: Any = None,
    scale_local_gradients: bool = True,
) -> keras.optimizers.Optimizer:
    """``hvd.DistributedOptimizer`` that reduces under Keras 3.

    Fusion groups, devices and the split of the division (``gradient_predivide_factor``) change
    how Horovod works, not what comes out; they are accepted.

    Raises:
        NotReducedError: an argument asks for a reduction that this optimizer would not do.
    """
    if process_set is not None and getattr(process_set, "process_set_id", 0) not in (0, None):
        raise NotReducedError(
            "Gradients are reduced over the whole group, but a process set was given. Form a"
            " smaller group instead: %%px --targets 0,1 and hvd.init() in it."
        )
    if backward_passes_per_step > 1 and not average_aggregated_gradients:
        raise NotReducedError(
            "Keras 3 averages accumulated gradients, but backward_passes_per_step="
            f"{backward_passes_per_step} asks for their sum. Pass"
            " average_aggregated_gradients=True, or multiply the learning rate."
        )
    return distribute(
        optimizer,
        op=_op_name(op),
        compression=_compression_name(compression),
        gradient_accumulation_steps=backward_passes_per_step
        if backward_passes_per_step > 1
        else None,
    )


def PartialDistributedOptimizer(
    optimizer: keras.optimizers.Optimizer, *args: Any, local_layers: Any = None, **kwargs: Any
) -> keras.optimizers.Optimizer:
    """``hvd.PartialDistributedOptimizer`` without local layers.

    Raises:
        NotReducedError: local layers were given.
    """
    if local_layers:
        raise NotReducedError(
            "All layers are reduced under Keras 3, but local_layers were given. Use"
            " hvd.DistributedOptimizer(optimizer)."
        )
    return DistributedOptimizer(optimizer, *args, **kwargs)


def load_model(
    filepath: Any,
    custom_optimizers: Iterable[type] | None = None,
    custom_objects: Mapping[str, Any] | None = None,
    compression: Any = None,
    legacy_opts: bool = False,
) -> keras.Model:
    """``hvd.load_model``: a saved model, its optimizer's state kept and its gradients reduced."""
    known = {cls.__name__: cls for cls in custom_optimizers or ()}
    model = keras.models.load_model(filepath, custom_objects={**known, **(custom_objects or {})})
    if model.optimizer is not None:
        distribute(model.optimizer, compression=_compression_name(compression))
    return model


def broadcast_global_variables(root_rank: int) -> None:
    """Say what to use instead: Keras 3 keeps no collection of global variables.

    Raises:
        NotReducedError: always.
    """
    raise NotReducedError(
        "Keras 3 keeps no global variables to broadcast. Pass"
        f" hvd.callbacks.BroadcastGlobalVariablesCallback({root_rank}) to fit."
    )


class BroadcastGlobalVariablesCallback(BroadcastState):
    """``hvd.callbacks.BroadcastGlobalVariablesCallback``, which raises when ranks drift apart: a
    model whose optimizer is not distributed would train unreduced.
    """

    def __init__(self, root_rank: int, device: str = "", local_variables: Any = None) -> None:
        if local_variables:
            raise NotReducedError(
                "All variables are broadcast under Keras 3, but local_variables were given."
                " Leave them out."
            )
        super().__init__(root_rank)
        self._drift = DriftCheck()

    def set_model(self, model: keras.Model) -> None:
        """Watch this model's weights, too."""
        super().set_model(model)
        self._drift.set_model(model)

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Compare the ranks' weights after the first steps."""
        self._drift.on_train_batch_end(batch, logs)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Compare the ranks' weights."""
        self._drift.on_epoch_end(epoch, logs)

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Broadcast, but leave each rank random numbers of its own."""
        self._drift.on_train_begin(logs)
        super().on_train_begin(logs)
        part_generators(self.model)


class MetricAverageCallback(MetricAverage):
    """``hvd.callbacks.MetricAverageCallback``."""

    def __init__(self, device: str = "") -> None:
        super().__init__()


class LearningRateWarmupCallback(LearningRateWarmup):
    """``hvd.callbacks.LearningRateWarmupCallback``; ``initial_lr`` may be left out, as of old."""

    def __init__(
        self,
        initial_lr: float | None = None,
        warmup_epochs: float = 5,
        momentum_correction: bool = True,
        steps_per_epoch: int | None = None,
        verbose: int = 0,
    ) -> None:
        super().__init__(
            warmup_epochs,
            full_rate=initial_lr,
            steps_per_epoch=steps_per_epoch,
            momentum_correction=momentum_correction,
            verbose=verbose,
        )


class LearningRateScheduleCallback(keras.callbacks.Callback):
    """``hvd.callbacks.LearningRateScheduleCallback``: ``initial_lr * multiplier(epoch)``.

    A constant multiplier ``m`` means the exponential decay ``m ** (epoch - start_epoch)``.
    """

    def __init__(
        self,
        initial_lr: float | None,
        multiplier: Callable[[float], float] | float,
        start_epoch: int = 0,
        end_epoch: int | None = None,
        staircase: bool = True,
        momentum_correction: bool = True,
        steps_per_epoch: int | None = None,
    ) -> None:
        super().__init__()
        self.initial_lr = initial_lr
        self.multiplier = multiplier
        self.start_epoch = start_epoch
        self.end_epoch = end_epoch
        self.staircase = staircase
        self.momentum_correction = momentum_correction
        self.steps_per_epoch = steps_per_epoch
        self._epoch = 0

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Note the initial rate."""
        if self.initial_lr is None:
            self.initial_lr = _rate.get_rate(self.model.optimizer)

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Remember the epoch."""
        self._epoch = epoch

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Set the rate of the coming step, or of the coming epoch."""
        ended = self.end_epoch is not None and self._epoch >= self.end_epoch
        if self._epoch < self.start_epoch or ended or (self.staircase and batch > 0):
            return
        steps = self.steps_per_epoch or self.params["steps"]
        epoch = self._epoch if self.staircase else self._epoch + batch / steps
        _rate.set_rate(
            self.model.optimizer,
            self._rate(epoch),
            momentum_correction=self.momentum_correction,
        )

    def _rate(self, epoch: float) -> float:
        assert self.initial_lr is not None
        if callable(self.multiplier):
            return self.initial_lr * self.multiplier(epoch)
        return self.initial_lr * self.multiplier ** (epoch - self.start_epoch)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Log the rate."""
        if logs is not None:
            logs["lr"] = _rate.get_rate(self.model.optimizer)


def _op_name(op: Any) -> _horovod.ReduceOp:
    if op is None:
        return "average"
    hvd = _horovod.library(_horovod.keras_framework())
    names: dict[Any, _horovod.ReduceOp] = {
        hvd.Average: "average",
        hvd.Sum: "sum",
        hvd.Adasum: "adasum",
    }
    if op not in names:
        raise NotReducedError(f"op must be hvd.Average, hvd.Sum or hvd.Adasum, but got {op!r}.")
    return names[op]


def _compression_name(compression: Any) -> _horovod.Compression:
    if compression is None:
        return "none"
    names: dict[str, _horovod.Compression] = {"NoneCompressor": "none", "FP16Compressor": "fp16"}
    if getattr(compression, "__name__", "") not in names:
        raise NotReducedError(
            f"compression must be hvd.Compression.none or .fp16, but got {compression!r}."
        )
    return names[compression.__name__]
