"""LARC: a trust ratio in front of any optimizer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MethodType
from typing import Any, Literal

import keras
from keras import ops

from interactive_dl.engine import trust_ratio
from interactive_dl.engine._wrapper import Wrapper
from interactive_dl.engine.trust_ratio import EXCLUDED, TrustRatio, dense

Mode = Literal["clip", "scale"]
MODES: tuple[Mode, ...] = ("clip", "scale")


@keras.saving.register_keras_serializable("interactive_dl")
class Larc(Wrapper):
    """Layer-wise adaptive rate control: LARS's ratio ``r`` on the gradient of any optimizer.

        clip    g <- (g + b w) min(r / lr, 1): the local rate is never above the global one
        scale   g <- (g + b w) r

    ``b`` is the weight decay; a tensor whose gradient is all zeros stays as it is. Sources:
    NVIDIA's apex, and the exascale climate study (Kurth et al. 2018, arXiv 1810.01993), which needs
    no warm-up with it. Gradients are changed after reduction, accumulation and clipping. Optimizers
    such as Adam undo a constant factor of the gradient: to scale their step, take ``Lamb``.

    Args:
        inner_optimizer: a plain Keras optimizer, or its name.
        trust: the ratio: a ``TrustRatio``, or a preset's name: ``larc-apex``, ``larc-climate``.
        mode: ``clip`` or ``scale``.
        weight_decay: L2 decay within ratio and gradient; None for none. A decay of the inner
            optimizer stays what it is.
        exclude: regular expressions; tensors whose path has one are neither adapted nor decayed.

    Raises:
        ValueError: an unknown preset or mode, or an inner optimizer that is none by itself.
    """

    def __init__(
        self,
        inner_optimizer: keras.optimizers.Optimizer | str,
        *,
        trust: TrustRatio | str | Mapping[str, Any] = "larc-apex",
        mode: Mode = "clip",
        weight_decay: float | None = None,
        exclude: Sequence[str] = EXCLUDED,
        name: str = "larc",
    ) -> None:
        if mode not in MODES:
            raise ValueError(f"mode must be one of {', '.join(MODES)}, but got {mode!r}.")
        super().__init__(inner_optimizer, name)
        self.weight_decay = weight_decay
        self.trust = trust_ratio.resolve(trust)
        self.mode = mode
        self.exclude = tuple(exclude)

        def adapt_then_update(inner: Any, grads: Any, variables: Any, rate: Any) -> None:
            adapted = [self._adapted(*pair, rate) for pair in zip(grads, variables, strict=True)]
            type(inner)._backend_update_step(inner, adapted, variables, rate)

        self.inner_optimizer._backend_update_step = MethodType(
            adapt_then_update, self.inner_optimizer
        )

    def apply(self, grads: Sequence[Any], trainable_variables: Any = None) -> None:
        """Have the inner optimizer update, with adapted gradients."""
        if not self.built:
            self.build(list(trainable_variables))
        self.inner_optimizer.apply(grads, trainable_variables)

    def _adapted(self, gradient: Any, variable: keras.Variable, rate: Any) -> Any:
        if trust_ratio.is_excluded(variable, self.exclude):
            return gradient
        gradient, weight = dense(gradient), ops.convert_to_tensor(variable)
        decay = self.weight_decay or 0.0
        factor = self.trust(weight, gradient, decay)
        if self.mode == "clip":
            factor = ops.minimum(factor / ops.cast(rate, factor.dtype), 1.0)
        if decay:
            moves = ops.cast(trust_ratio.norm(gradient) > 0, gradient.dtype)
            gradient = gradient + decay * moves * weight
        return gradient * ops.cast(factor, gradient.dtype)

    def get_config(self) -> dict[str, Any]:
        """What ``from_config`` needs."""
        return {
            **super().get_config(),
            "trust": trust_ratio.config_of(self.trust),
            "mode": self.mode,
            "weight_decay": self.weight_decay,
            "exclude": list(self.exclude),
        }
