"""LARS and LAMB: optimizers that give every tensor a learning rate of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import keras
from keras import ops

from interactive_dl.engine import trust_ratio
from interactive_dl.engine.trust_ratio import EXCLUDED, TrustRatio, dense

MomentumForm = Literal["classic", "popular"]
MOMENTUM_FORMS: tuple[MomentumForm, ...] = ("classic", "popular")


@keras.saving.register_keras_serializable("interactive_dl")
class Lars(keras.optimizers.SGD):
    """Layer-wise adaptive rate scaling (You, Gitman, Ginsburg 2017, arXiv 1708.03888, eq. 6).

    With ``b`` the weight decay, ``m`` the momentum, ``r`` the trust ratio of the tensor:

        classic (the paper)   v <- m v + lr r (g + b w),   w <- w - v
        popular               v <- m v + (g + b w),        w <- w - lr r(w, v) v

    With Nesterov momentum the step is ``m v + ...`` of the new ``v`` in both. Large rates are
    usual (several units), with a warm-up and a polynomial decay of power 2.

    Args:
        learning_rate: the global rate: a number, or a Keras schedule.
        momentum: of the velocity, 0 for none.
        weight_decay: L2 decay, within ratio and velocity; None for none.
        trust: the ratio: a ``TrustRatio``, or a preset's name: ``lars``, ``lars-deck``,
            ``lars-tensorflow``.
        momentum_form: ``classic`` has the rate inside the velocity, ``popular`` outside.
        nesterov: whether to look ahead.
        exclude: regular expressions; tensors whose path has one are neither adapted nor decayed.
        options: those of every Keras optimizer.

    Raises:
        ValueError: an unknown preset or momentum form.
    """

    def __init__(
        self,
        learning_rate: Any = 1.0,
        momentum: float = 0.9,
        weight_decay: float | None = None,
        *,
        trust: TrustRatio | str | Mapping[str, Any] = "lars",
        momentum_form: MomentumForm = "classic",
        nesterov: bool = False,
        exclude: Sequence[str] = EXCLUDED,
        name: str = "lars",
        **options: Any,
    ) -> None:
        if momentum_form not in MOMENTUM_FORMS:
            known = ", ".join(MOMENTUM_FORMS)
            raise ValueError(f"momentum_form must be one of {known}, but got {momentum_form!r}.")
        super().__init__(
            learning_rate, momentum, nesterov, weight_decay=weight_decay, name=name, **options
        )
        self.trust = trust_ratio.resolve(trust)
        self.momentum_form = momentum_form
        self.exclude = tuple(exclude)

    @property
    def has_rate_in_velocity(self) -> bool:
        """Whether a changed rate asks for a changed velocity (momentum correction)."""
        return self.momentum_form == "classic"

    def build(self, variables: Sequence[keras.Variable]) -> None:
        """Make the velocities, and note which tensors are left alone."""
        super().build(variables)
        self._adapts = _adapts(variables, self.exclude)

    def _apply_weight_decay(self, variables: Any) -> None:
        """It is part of the update."""

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Update one tensor."""
        index = self._get_variable_index(variable)
        weight = ops.convert_to_tensor(variable)
        gradient = ops.cast(dense(gradient), weight.dtype)
        adapts = self._adapts[index]
        decay = _decay(self, variable, adapts)
        rate = ops.cast(learning_rate, "float32")
        velocity = self.momentums[index] if self.momentum else None
        decayed = gradient + decay * weight if decay else gradient
        if self.momentum_form == "classic":
            local = rate * self.trust(weight, gradient, decay) if adapts else rate
            step = self._momentum_step(velocity, ops.cast(local, weight.dtype) * decayed)
        else:
            update = self._momentum_step(velocity, decayed)
            local = rate * self.trust(weight, update) if adapts else rate
            step = ops.cast(local, weight.dtype) * update
        self.assign_sub(variable, step)

    def _momentum_step(self, velocity: Any, increment: Any) -> Any:
        if velocity is None:
            return increment
        new = self.momentum * ops.convert_to_tensor(velocity) + increment
        self.assign(velocity, new)
        return self.momentum * new + increment if self.nesterov else new

    def get_config(self) -> dict[str, Any]:
        """What ``from_config`` needs."""
        return {
            **super().get_config(),
            "trust": trust_ratio.config_of(self.trust),
            "momentum_form": self.momentum_form,
            "exclude": list(self.exclude),
        }


@keras.saving.register_keras_serializable("interactive_dl")
class Lamb(keras.optimizers.Lamb):
    """Layer-wise adaptive moments (You et al. 2019, arXiv 1904.00962, algorithm 2).

        u = m_hat / (sqrt(v_hat) + epsilon),   w <- w - lr r(w, u) (u + b w)

    ``m_hat`` and ``v_hat`` are Adam's bias-corrected moments, ``b`` the weight decay, ``r`` the
    trust ratio. Keras's own Lamb leaves ``b`` out of the ratio and decays separately, and excludes
    nothing: ``Lamb(epsilon=1e-7, decoupled_weight_decay=True, exclude=())``.

    Args:
        learning_rate: the global rate: a number, or a Keras schedule.
        weight_decay: within ratio and update; None for none.
        beta_1: of the first moment.
        beta_2: of the second moment.
        epsilon: added to the root of the second moment.
        trust: the ratio: a ``TrustRatio``, or a preset's name; the paper's clipping of weight norms
            is its ``weight_norm_limits``.
        decoupled_weight_decay: decay before the update, outside of ratio and update.
        exclude: regular expressions; tensors whose path has one are neither adapted nor decayed.
        options: those of every Keras optimizer.

    Raises:
        ValueError: an unknown preset.
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        weight_decay: float | None = None,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-6,
        *,
        trust: TrustRatio | str | Mapping[str, Any] = "lamb",
        decoupled_weight_decay: bool = False,
        exclude: Sequence[str] = EXCLUDED,
        name: str = "lamb",
        **options: Any,
    ) -> None:
        super().__init__(
            learning_rate,
            beta_1,
            beta_2,
            epsilon,
            weight_decay=weight_decay,
            name=name,
            **options,
        )
        self.trust = trust_ratio.resolve(trust)
        self.decoupled_weight_decay = decoupled_weight_decay
        self.exclude = tuple(exclude)

    def build(self, variables: Sequence[keras.Variable]) -> None:
        """Make the moments, and note which tensors are left alone."""
        super().build(variables)
        self._adapts = _adapts(variables, self.exclude)

    def _apply_weight_decay(self, variables: Sequence[Any]) -> None:
        """Decay before the update, where that is wanted; else it is part of the update."""
        if self.decoupled_weight_decay:
            super()._apply_weight_decay(
                [one for one in variables if self._adapts[self._get_variable_index(one)]]
            )

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Update one tensor."""
        index = self._get_variable_index(variable)
        weight = ops.convert_to_tensor(variable)
        gradient = ops.cast(dense(gradient), weight.dtype)
        adapts = self._adapts[index]
        decay = 0.0 if self.decoupled_weight_decay else _decay(self, variable, adapts)
        update = self._adam_step(index, gradient)
        local = ops.cast(learning_rate, "float32")
        if adapts:
            local = local * self.trust(weight, update, decay)
        decayed = update + decay * weight if decay else update
        self.assign_sub(variable, ops.cast(local, weight.dtype) * decayed)

    def _adam_step(self, index: int, gradient: Any) -> Any:
        step = ops.cast(self.iterations + 1, gradient.dtype)
        first, second = self._momentums[index], self._velocities[index]
        mean = self.beta_1 * ops.convert_to_tensor(first) + (1 - self.beta_1) * gradient
        square = self.beta_2 * ops.convert_to_tensor(second) + (1 - self.beta_2) * gradient**2
        self.assign(first, mean)
        self.assign(second, square)
        mean_hat = mean / (1 - ops.power(ops.cast(self.beta_1, gradient.dtype), step))
        square_hat = square / (1 - ops.power(ops.cast(self.beta_2, gradient.dtype), step))
        return mean_hat / (ops.sqrt(square_hat) + self.epsilon)

    def get_config(self) -> dict[str, Any]:
        """What ``from_config`` needs."""
        return {
            **super().get_config(),
            "trust": trust_ratio.config_of(self.trust),
            "decoupled_weight_decay": self.decoupled_weight_decay,
            "exclude": list(self.exclude),
        }


def _adapts(variables: Sequence[keras.Variable], exclude: tuple[str, ...]) -> list[bool]:
    return [not trust_ratio.is_excluded(variable, exclude) for variable in variables]


def _decay(optimizer: Any, variable: Any, adapts: bool) -> float:
    """The weight decay of one tensor; ``exclude_from_weight_decay`` counts as well."""
    if not adapts or not optimizer._use_weight_decay(variable):
        return 0.0
    return optimizer.weight_decay or 0.0
