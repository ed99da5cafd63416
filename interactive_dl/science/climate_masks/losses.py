"""Cross-entropy of masks in which nearly all pixels are of one class, in its published forms.

1. Each pixel weighs one over the square root of its class's frequency. The code of arXiv:1810.01993
   calls the list behind its weights frequencies, but these are the frequencies' square roots; the
   frequencies themselves made cyclones too heavy for half precision. The sum over an image times
   0.1 for half precision, else the mean.
2. MLPerf DeepCAM: one over the frequency's eighth root, and the mean.
3. As many pixels of each class as of the others: each is kept with a probability of ``target`` over
   the number of its class in the image, and the mean over those kept is taken.

All are of each image by itself, as in the originals, where a rank has one per step.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import keras
import numpy as np
from keras import ops

Reduction = Literal["mean", "sum"]
PACKAGE = "interactive_dl.climate_masks"
SUM_SCALE = 0.1


def root_weights(frequencies: Sequence[float]) -> tuple[float, ...]:
    """Weights of form 1: one over the square root of the frequencies; their sum is 1."""
    weights = np.asarray(frequencies, np.float64) ** -0.5
    return tuple((weights / weights.sum()).tolist())


def eighth_root_weights(frequencies: Sequence[float]) -> tuple[float, ...]:
    """Weights of form 2: one over the frequencies' eighth root."""
    return tuple((np.asarray(frequencies, np.float64) ** -0.125).tolist())


@keras.saving.register_keras_serializable(PACKAGE)
class WeightedCrossentropy(keras.losses.Loss):
    """Forms 1 and 2: every pixel has the weight of its class.

    Args:
        weights: of the classes.
        over_pixels: ``mean``: sum over the pixels' number (not over that of their weights);
            ``sum``: a tenth of the sum.
    """

    def __init__(
        self,
        weights: Sequence[float],
        over_pixels: Reduction = "mean",
        name: str = "weighted_crossentropy",
        **options: Any,
    ) -> None:
        super().__init__(name=name, **options)
        self.weights = list(weights)
        self.over_pixels = over_pixels

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Of each image: classes (batch, height, width) and logits (..., classes) to (batch,)."""
        weights = ops.take(np.asarray(self.weights, "float32"), ops.cast(y_true, "int32"))
        weighted = weights * _crossentropy(y_true, y_pred)
        if self.over_pixels == "sum":
            return SUM_SCALE * ops.sum(weighted, axis=(1, 2))
        return ops.mean(weighted, axis=(1, 2))

    def get_config(self) -> dict[str, Any]:
        """Arguments of a loss like this one."""
        return {
            **super().get_config(),
            "weights": self.weights,
            "over_pixels": self.over_pixels,
        }


@keras.saving.register_keras_serializable(PACKAGE)
class SampledCrossentropy(keras.losses.Loss):
    """Form 3: about as many pixels of each class count, other ones in every step.

    Args:
        target: how many of each; of a rarer class all.
        classes: how many there are.
        seed: of the choices.
    """

    def __init__(
        self,
        target: float,
        classes: int = 3,
        seed: int | None = None,
        name: str = "sampled_crossentropy",
        **options: Any,
    ) -> None:
        super().__init__(name=name, **options)
        self.target = target
        self.classes = classes
        self.seed = seed
        self._draws = keras.random.SeedGenerator(seed)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Of each image: classes (batch, height, width) and logits (..., classes) to (batch,)."""
        one_hot = ops.one_hot(ops.cast(y_true, "int32"), self.classes, dtype="float32")
        numbers = ops.sum(one_hot, axis=(1, 2), keepdims=True)
        chance = ops.sum(one_hot * self.target / ops.maximum(numbers, 1.0), axis=-1)
        draws = keras.random.uniform(ops.shape(chance), seed=self._draws)
        is_kept = ops.cast(draws < chance, "float32")
        total = ops.sum(is_kept * _crossentropy(y_true, y_pred), axis=(1, 2))
        return total / ops.maximum(ops.sum(is_kept, axis=(1, 2)), 1.0)

    def get_config(self) -> dict[str, Any]:
        """Arguments of a loss like this one."""
        return {
            **super().get_config(),
            "target": self.target,
            "classes": self.classes,
            "seed": self.seed,
        }


def _crossentropy(y_true: Any, y_pred: Any) -> Any:
    """Of each pixel, in single precision: shape (batch, height, width)."""
    logits = ops.cast(y_pred, "float32")
    return ops.sparse_categorical_crossentropy(ops.cast(y_true, "int32"), logits, from_logits=True)
