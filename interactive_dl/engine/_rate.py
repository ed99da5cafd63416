"""Reading and changing the learning rate of a compiled Keras optimizer."""

from __future__ import annotations

from typing import Any

import keras


def innermost(optimizer: Any) -> Any:
    """The optimizer that updates, without what is around it (loss scaling, LARC, stages)."""
    while True:
        if hasattr(optimizer, "inner_optimizer"):
            optimizer = optimizer.inner_optimizer
        elif hasattr(optimizer, "in_charge"):
            optimizer = optimizer.in_charge()
        else:
            return optimizer


def parts(optimizer: Any) -> list[Any]:
    """Those with a rate of their own: one, or those of all stages."""
    if hasattr(optimizer, "inner_optimizer"):
        return parts(optimizer.inner_optimizer)
    if hasattr(optimizer, "in_charge"):
        return [part for stage in optimizer.optimizers for part in parts(stage)]
    return [optimizer]


def has_fixed_rate(optimizer: Any) -> bool:
    """Whether there is one learning rate, a variable and not a schedule of the optimizer's own."""
    inner = innermost(optimizer)
    if isinstance(inner, keras.optimizers.MultiOptimizer):
        return False
    return not isinstance(inner._learning_rate, keras.optimizers.schedules.LearningRateSchedule)


def schedule_of(optimizer: Any) -> Any:
    """The optimizer's own schedule; None where its rate is a plain number."""
    rate = getattr(innermost(optimizer), "_learning_rate", None)
    return rate if isinstance(rate, keras.optimizers.schedules.LearningRateSchedule) else None


def set_schedule(optimizer: Any, schedule: Any) -> None:
    """Give the optimizer another's ``schedule_of``, before its first step; None leaves it."""
    if schedule is not None:
        innermost(optimizer)._learning_rate = schedule


def get_rate(optimizer: Any) -> float:
    """The learning rate of the next step; of several optimizers, that of the first."""
    if isinstance(optimizer, keras.optimizers.MultiOptimizer):
        return get_rate(optimizer._inner_optimizers[0])
    return float(keras.ops.convert_to_numpy(optimizer.learning_rate))


def set_rate(optimizer: Any, value: float, *, momentum_correction: bool) -> None:
    """Change the learning rate from the next step on.

    Keras keeps the learning rate inside the velocity (``v = m v - lr g``), so a raised rate
    needs the velocity raised alike (Goyal et al. 2017, section 2.2, "momentum correction");
    Horovod multiplies the momentum by ``new / old`` for one step instead, which is the same.

    Raises:
        ValueError: the optimizer has a schedule of its own.
    """
    if not has_fixed_rate(optimizer):
        raise ValueError(
            "The optimizer has a schedule of its own, or several rates; give it a number to change"
            " it during the training, or put the warm-up into the schedule: engine.WarmUp(...)."
        )
    previous = get_rate(optimizer)
    if value == previous:
        return
    optimizer.learning_rate = value
    if momentum_correction and previous > 0:
        for velocity in _velocities(optimizer):
            velocity.assign(velocity * (value / previous))


def _velocities(optimizer: Any) -> list[Any]:
    inner = innermost(optimizer)
    if not isinstance(inner, keras.optimizers.SGD) or not inner.momentum:
        return []
    if not getattr(inner, "has_rate_in_velocity", True):
        return []
    return list(getattr(inner, "momentums", []))  # there are none before it is built
