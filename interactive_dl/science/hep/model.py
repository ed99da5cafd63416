"""The network of the "15 PF" paper."""

from __future__ import annotations

import keras
from keras import layers

POOLINGS = 4


def build_model(
    filters: int = 128, dropout: float = 0.5, input_shape: tuple[int, int, int] = (224, 224, 3)
) -> keras.Model:
    """Five 3x3 convolutions of as many filters each, the first four pooled; not compiled.

    The mean over all pixels goes straight to the two classes, so that the parameters, 594,178 of
    them by default, do not depend on the images' size.

    Args:
        filters: of each convolution.
        dropout: share of activations dropped after each pooling.
        input_shape: (height, width, channels) of the images, at least 16 pixels wide and high.

    Returns:
        Images, float32, shape (batch, *input_shape), to probabilities of background and signal,
        (batch, 2).
    """
    stack: list[layers.Layer] = [keras.Input(input_shape)]
    for _ in range(POOLINGS):
        stack += [_convolution(filters), layers.MaxPooling2D()]
        if dropout:
            stack.append(layers.Dropout(dropout))
    stack += [
        _convolution(filters),
        layers.GlobalAveragePooling2D(),
        layers.Dense(2, activation="softmax"),
    ]
    return keras.Sequential(stack, name="hep")


def _convolution(filters: int) -> layers.Layer:
    return layers.Conv2D(
        filters, 3, padding="same", activation="relu", kernel_initializer="he_normal"
    )
