"""How networks are told the amplitude of a map."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers, ops

from interactive_dl.science.cosmogan.config import Config


def centred(config: Config) -> layers.Layer:
    """From amplitudes to -1 for the least that is trained on, and 1 for the largest."""
    least, largest = min(config.amplitudes), max(config.amplitudes)
    scale = 2 / (largest - least)
    return layers.Rescaling(scale, offset=-scale * (least + largest) / 2)


@keras.saving.register_keras_serializable("interactive_dl.cosmogan")
class Modulation(layers.Layer):
    """Features scaled and shifted by a condition: x (1 + c w) + c v, w and v of each channel.

    As in FiLM (Perez et al., arXiv:1709.07871), with one number c for a condition. It begins with
    no influence: w = v = 0.
    """

    def build(self, input_shape: Any) -> None:
        """A scale and a shift for each channel of the first input."""
        channels = input_shape[0][-1]
        self.scale = self.add_weight(shape=(channels,), initializer="zeros", name="scale")
        self.shift = self.add_weight(shape=(channels,), initializer="zeros", name="shift")

    def call(self, inputs: Any) -> Any:
        """Features, shape (batch, height, width, channels), and conditions, (batch, 1)."""
        features, condition = inputs
        each = ops.reshape(condition, (-1, 1, 1, 1))
        return features * (1 + each * self.scale) + each * self.shift


def projection(features: Any, condition: Any, initializer: keras.initializers.Initializer) -> Any:
    """How well features fit a condition, to be added to a discriminator's logit, (batch, 1).

    The inner product of the features with a learned function of the condition (Miyato and Koyama,
    arXiv:1802.05637); here a parabola, which can prefer the middle of three points.

    Args:
        features: shape (batch, features).
        condition: shape (batch, 1).
        initializer: of the function's coefficients.
    """
    powers = layers.Concatenate()([condition, layers.Multiply()([condition, condition])])
    wanted = layers.Dense(features.shape[-1], kernel_initializer=initializer)(powers)
    return layers.Dot(axes=1)([wanted, features])
