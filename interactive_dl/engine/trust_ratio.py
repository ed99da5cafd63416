"""The trust ratio: how far a layer may move, as a share of how large it is.

With large batches one learning rate does not fit all layers: ``|w| / |g|`` differs between them by
orders of magnitude. LARS, LARC and LAMB give each tensor a rate of its own, by one formula:

    ratio = coefficient * phi(|w|) / (|u| + weight_decay * |w| + epsilon)     "sum_of_norms"
    ratio = coefficient * phi(|w|) / (|u + weight_decay * w| + epsilon)       "norm_of_sum"

``w`` is the weight, ``u`` what would move it (LARS, LARC: the gradient; LAMB: Adam's step), ``phi``
a clipping of the weight's norm. The published variants differ in the options only; ``PRESETS`` has
them by name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import keras
from keras import ops

Norms = Literal["sum_of_norms", "norm_of_sum"]
NORMS: tuple[Norms, ...] = ("sum_of_norms", "norm_of_sum")


@dataclass(frozen=True)
class TrustRatio:
    """The options of the formula above.

    As ``|u + b w| <= |u| + b |w|``, "norm_of_sum" never gives less than "sum_of_norms".

    Attributes:
        coefficient: the share of its own norm that a tensor moves by at a learning rate of 1.
        norms: what stands below the line, "sum_of_norms" or "norm_of_sum".
        epsilon: added below the line.
        otherwise: the ratio of a tensor whose weight or update is all zeros.
        weight_norm_limits: phi: least and largest ``|w|`` that counts; None: as it is.
    """

    coefficient: float = 0.001
    norms: Norms = "sum_of_norms"
    epsilon: float = 0.0
    otherwise: float = 1.0
    weight_norm_limits: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if self.norms not in NORMS:
            known = ", ".join(NORMS)
            raise ValueError(f"norms must be one of {known}, but got {self.norms!r}.")
        if self.coefficient <= 0:
            raise ValueError(f"`coefficient > 0` must hold, but got {self.coefficient}.")
        if self.weight_norm_limits is not None:
            low, high = self.weight_norm_limits
            if not 0 <= low <= high:
                raise ValueError(f"`0 <= low <= high` must hold, but got ({low}, {high}).")
            object.__setattr__(self, "weight_norm_limits", (low, high))

    def __call__(self, weight: Any, update: Any, weight_decay: float = 0.0) -> Any:
        """The ratio of one tensor: a scalar, float32.

        Args:
            weight: any shape.
            update: what would move it; the same shape.
            weight_decay: not in ``update`` yet.
        """
        weight, update = ops.cast(weight, "float32"), ops.cast(update, "float32")
        weight_norm = norm(weight)
        if self.norms == "sum_of_norms":
            counted = norm(update)
            below = counted + weight_decay * weight_norm + self.epsilon
        else:
            counted = norm(update + weight_decay * weight)
            below = counted + self.epsilon
        above = weight_norm
        if self.weight_norm_limits is not None:
            above = ops.clip(above, *self.weight_norm_limits)
        is_defined = ops.logical_and(weight_norm > 0, counted > 0)
        ratio = self.coefficient * above / ops.where(is_defined, below, 1.0)
        return ops.where(is_defined, ratio, self.otherwise)


def norm(tensor: Any) -> Any:
    """The Euclidean norm of a tensor of any shape: a scalar."""
    return ops.sqrt(ops.sum(ops.square(tensor)))


PRESETS: dict[str, TrustRatio] = {
    "lars": TrustRatio(0.001, "sum_of_norms"),
    "lars-deck": TrustRatio(1.0, "sum_of_norms"),
    "lars-tensorflow": TrustRatio(0.001, "norm_of_sum"),
    "larc-apex": TrustRatio(0.02, "sum_of_norms", epsilon=1e-8),
    "larc-climate": TrustRatio(0.002, "sum_of_norms", otherwise=1 / 16000),
    "lamb": TrustRatio(1.0, "norm_of_sum"),
}
"""Published variants: LARS as You, Gitman, Ginsburg 2017 define it (arXiv 1708.03888), as the "at
scale" deck prints it (without the coefficient, which the learning rate has to absorb) and as
TensorFlow's model garden has it; LARC as NVIDIA's apex and the exascale climate study (arXiv
1810.01993, whose code knows no weight decay) have it; LAMB (You et al. 2019, arXiv 1904.00962).
"""


def resolve(trust: TrustRatio | str | Mapping[str, Any]) -> TrustRatio:
    """A trust ratio as it is, by a preset's name, or from ``config_of``.

    Raises:
        ValueError: an unknown name.
    """
    if isinstance(trust, TrustRatio):
        return trust
    if isinstance(trust, Mapping):
        return TrustRatio(**trust)
    if trust not in PRESETS:
        raise ValueError(
            f"trust must be a TrustRatio or one of {', '.join(PRESETS)}, but got {trust!r}."
        )
    return PRESETS[trust]


def config_of(trust: TrustRatio) -> dict[str, Any]:
    """What a saved optimizer keeps."""
    return asdict(trust)


EXCLUDED = ("bias$", "gamma$", "beta$", "scale$")
"""Bias, and scale and offset of normalisations: their norms say nothing of how far they may move,
and decay would only spoil them.
"""


def is_excluded(variable: keras.Variable, patterns: tuple[str, ...]) -> bool:
    """Whether a regular expression of ``patterns`` is found in the variable's path
    (``conv2d/kernel``).
    """
    return any(re.search(pattern, variable.path) for pattern in patterns)


def dense(gradient: Any) -> Any:
    """A gradient as a tensor; TensorFlow has those of embeddings in slices."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.convert_to_tensor(gradient)
    return gradient
