"""The networks of ``cori-intml-examples``."""

from __future__ import annotations

from collections.abc import Sequence

import keras


def build_model(
    conv: Sequence[int] = (16, 32, 64),
    dense: Sequence[int] | int = 128,
    dropout: float = 0.2,
    input_shape: tuple[int, int, int] = (64, 64, 1),
    strides: Sequence[int] | None = None,
) -> keras.Model:
    """A convolutional classifier of calorimeter images, not compiled.

    The published ones at 64x64: the default has 547,841 parameters; ``conv=(8, 16, 32),
    dense=64`` has 137,089; ``conv=(64, 128, 256, 256), dense=512, strides=(1, 2, 1, 2)``, without
    dropout, has 34,515,201.

    Args:
        conv: filters of the 3x3 convolutions.
        dense: units of the hidden dense layer, or of several.
        dropout: share of activations dropped before and after the dense layers.
        input_shape: (height, width, channels) of the images.
        strides: of each convolution; by default each is followed by 2x2 max pooling instead.

    Returns:
        Images, float32, shape (batch, *input_shape), to the probability of signal, (batch, 1).
    """
    layers: list[keras.layers.Layer] = [keras.Input(input_shape)]
    for position, filters in enumerate(conv):
        stride = 1 if strides is None else strides[position]
        layers.append(
            keras.layers.Conv2D(filters, 3, strides=stride, padding="same", activation="relu")
        )
        if strides is None:
            layers.append(keras.layers.MaxPooling2D())
    layers += [*_dropout(dropout), keras.layers.Flatten()]
    for units in (dense,) if isinstance(dense, int) else dense:
        layers += [keras.layers.Dense(units, activation="relu"), *_dropout(dropout)]
    layers.append(keras.layers.Dense(1, activation="sigmoid"))
    return keras.Sequential(layers, name="rpv")


def _dropout(rate: float) -> list[keras.layers.Layer]:
    return [keras.layers.Dropout(rate)] if rate else []
