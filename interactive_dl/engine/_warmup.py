"""Gradual warm-up, as a callback for a plain learning rate and as a Keras schedule."""

from __future__ import annotations

from typing import Any

import keras

from interactive_dl.engine import _rate
from interactive_dl.engine._fit_context import batches_before, is_rate_steered, rate_factor
from interactive_dl.engine._stages import stages_of
from interactive_dl.engine.group import current
from interactive_dl.engine.schedules import warmup_factor


class LearningRateWarmup(keras.callbacks.Callback):
    """Raise the learning rate at every step until it reaches the optimizer's own.

    Source: Goyal et al. 2017 (arXiv 1706.02677), with Horovod's per-step formula: during epoch
    ``e`` and step ``s`` of ``S`` the factor is that of the fractional epoch ``e + (s + 1) / S``,
    so that epochs end on round numbers. A person who sets the learning rate meanwhile ends it.

    Args:
        warmup_epochs: length of the warm-up.
        full_rate: the rate to reach; by default the optimizer's when training begins.
        start_factor: share of the rate to begin with; by default 1 / ranks.
        steps_per_epoch: by default what ``fit`` says.
        momentum_correction: scale the velocity with the rate.
        verbose: rank 0 says when the warm-up ends.
    """

    def __init__(
        self,
        warmup_epochs: float,
        *,
        full_rate: float | None = None,
        start_factor: float | None = None,
        steps_per_epoch: int | None = None,
        momentum_correction: bool = True,
        verbose: int = 0,
    ) -> None:
        super().__init__()
        self.warmup_epochs = warmup_epochs
        self.full_rate = full_rate
        self.start_factor = start_factor
        self.steps_per_epoch = steps_per_epoch
        self.momentum_correction = momentum_correction
        self.verbose = verbose
        self._epoch = 0

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Note the rate to reach, before anything lowers it."""
        self._steps = self.steps_per_epoch or self.params.get("steps")
        if not self._steps:
            raise ValueError(
                "The warm-up changes the learning rate at every step, but the number of steps per"
                " epoch is not known. Give fit(steps_per_epoch=...)."
            )
        stages = stages_of(self.model.optimizer)
        if stages is not None and any(0 < at < self.warmup_epochs for at in stages.epochs):
            raise ValueError(
                f"The warm-up must end before the next optimizer takes over, but got"
                f" warmup_epochs={self.warmup_epochs} and stages from epochs {stages.epochs}."
            )
        if self.full_rate is None:
            self.full_rate = _rate.get_rate(self.model.optimizer)

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Remember the epoch."""
        self._epoch = epoch

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Set the rate of the coming step, unless a person has taken the wheel."""
        if self._epoch >= self.warmup_epochs or is_rate_steered(self.model):
            return
        start = self.start_factor if self.start_factor is not None else 1 / current().size
        done = batches_before(self.model, self._epoch) + batch + 1
        epoch = self._epoch + done / self._steps
        factor = warmup_factor(epoch, self.warmup_epochs, start)
        assert self.full_rate is not None
        _rate.set_rate(
            self.model.optimizer,
            self.full_rate * rate_factor(self.model) * factor,
            momentum_correction=self.momentum_correction,
        )

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Say that the full rate is reached."""
        if self.verbose and epoch + 1 == self.warmup_epochs and current().rank == 0:
            rate = _rate.get_rate(self.model.optimizer)
            print(f"\nEpoch {epoch + 1}: finished gradual learning rate warmup to {rate:g}.")


@keras.saving.register_keras_serializable("interactive_dl")
class WarmUp(keras.optimizers.schedules.LearningRateSchedule):
    """A linear warm-up in front of any Keras learning-rate schedule.

    ``keras.optimizers.schedules`` has the decays (polynomial, piecewise, exponential, cosine);
    this gives them a start: step ``s < warmup_steps`` uses ``first + (peak - first) * s /
    warmup_steps``, where ``peak`` is the decay's value at step 0; later steps use the decay at
    ``s - warmup_steps``.

    Args:
        decay: a schedule, or a constant rate.
        warmup_steps: length of the warm-up, in optimizer updates.
        start_factor: ``first / peak``; ``1 / ranks`` begins with the unscaled rate.
    """

    def __init__(
        self,
        decay: keras.optimizers.schedules.LearningRateSchedule | float,
        warmup_steps: int,
        start_factor: float = 0.0,
    ) -> None:
        if warmup_steps < 1:
            raise ValueError(f"`warmup_steps >= 1` must hold, but got {warmup_steps}.")
        self.decay = decay
        self.warmup_steps = warmup_steps
        self.start_factor = start_factor

    def __call__(self, step: Any) -> Any:
        """Learning rate (scalar tensor, float32) of update number ``step``."""
        step = keras.ops.cast(step, "float32")
        factor = self.start_factor + (1 - self.start_factor) * step / self.warmup_steps
        warming = self._decayed(keras.ops.zeros_like(step)) * factor
        decaying = self._decayed(keras.ops.maximum(step - self.warmup_steps, 0))
        return keras.ops.where(step < self.warmup_steps, warming, decaying)

    def _decayed(self, step: Any) -> Any:
        if callable(self.decay):
            return self.decay(step)
        return keras.ops.cast(self.decay, "float32")

    def get_config(self) -> dict[str, Any]:
        """What ``from_config`` needs."""
        decay = self.decay
        return {
            "decay": keras.saving.serialize_keras_object(decay) if callable(decay) else decay,
            "warmup_steps": self.warmup_steps,
            "start_factor": self.start_factor,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> WarmUp:
        """Rebuild from ``get_config()``."""
        decay = config["decay"]
        if isinstance(decay, dict):
            decay = keras.saving.deserialize_keras_object(decay)
        return cls(**{**config, "decay": decay})
