"""The networks as Caffe's model zoo has them, without what serves training only.

Paddings and poolings are those that give Caffe's sizes. Weights begin as He et al. propose, which
trains these depths without the zoo's hand-made deviations.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import layers, ops

from interactive_dl.science.convnets.config import Network


@keras.saving.register_keras_serializable("interactive_dl")
class LocalResponseNormalization(layers.Layer):
    """Divides by the energy of neighbours: x / (1 + alpha * mean of x^2)^beta.

    Krizhevsky, Sutskever and Hinton 2012; Caffe's ``alpha`` is of the mean, not of the sum.

    Args:
        size: neighbours, an odd number: channels, or pixels in height and width.
        within: ``channel``: neighbours are the pixels around; ``pixel``: the channels beside.
        alpha: how much the energy counts.
        beta: power of the denominator.
    """

    def __init__(
        self, size: int = 5, within: str = "pixel", alpha: float = 1e-4, beta: float = 0.75
    ) -> None:
        super().__init__()
        self.size, self.within, self.alpha, self.beta = size, within, alpha, beta

    def call(self, x: Any) -> Any:
        """Normalised activations, shape (batch, height, width, channels) as ``x``."""
        square = ops.square(x)
        mean = (
            self._over_pixels(square) if self.within == "channel" else self._over_channels(square)
        )
        return x / ops.power(1.0 + self.alpha * mean, self.beta)

    def _over_pixels(self, square: Any) -> Any:
        reach = self.size // 2
        padded = ops.pad(square, ((0, 0), (reach, reach), (reach, reach), (0, 0)))
        return ops.average_pool(padded, self.size, strides=1, padding="valid")

    def _over_channels(self, square: Any) -> Any:
        reach, channels = self.size // 2, square.shape[-1]
        padded = ops.pad(square, ((0, 0), (0, 0), (0, 0), (reach, reach)))
        shifted = [padded[..., shift : shift + channels] for shift in range(self.size)]
        return sum(shifted[1:], shifted[0]) / self.size

    def get_config(self) -> dict[str, Any]:
        """What ``from_config`` needs."""
        return {"size": self.size, "within": self.within, "alpha": self.alpha, "beta": self.beta}


def build_model(network: Network, input_shape: tuple[int, int, int], classes: int) -> keras.Model:
    """One of the networks, not compiled.

    Parameters at the published shapes: ``cifar`` (Caffe's cifar10_full, 32x32, 10 classes) 89,578;
    ``alexnet`` and ``caffenet`` (227x227, 1000 classes) 60,965,224; ``googlenet`` (224x224, 1000
    classes, without its two auxiliary classifiers) 6,998,552.

    Args:
        network: its name.
        input_shape: (height, width, channels) of the images.
        classes: how many.

    Returns:
        Images, float32 in 0 .. 255, shape (batch, *input_shape), to probabilities of the classes,
        (batch, classes).
    """
    make = {"cifar": _cifar, "alexnet": _alexnet, "caffenet": _caffenet, "googlenet": _googlenet}
    images = keras.Input(input_shape)
    features = make[network](layers.Rescaling(1 / 64, offset=-2)(images))
    answers = layers.Dense(classes, activation="softmax")(features)
    return keras.Model(images, answers, name=network)


def _convolution(x: Any, filters: int, size: int, **options: Any) -> Any:
    options = {"padding": "same", "activation": "relu", **options}
    return layers.Conv2D(filters, size, kernel_initializer="he_normal", **options)(x)


def _dense(x: Any, units: int) -> Any:
    x = layers.Dense(units, activation="relu", kernel_initializer="he_normal")(x)
    return layers.Dropout(0.5)(x)


def _cifar(x: Any) -> Any:
    def normalized(x: Any) -> Any:
        return LocalResponseNormalization(3, "channel", alpha=5e-5)(x)

    x = layers.MaxPooling2D(3, 2, padding="same")(_convolution(x, 32, 5, activation=None))
    x = normalized(layers.ReLU()(x))
    x = normalized(layers.AveragePooling2D(3, 2, padding="same")(_convolution(x, 32, 5)))
    x = layers.AveragePooling2D(3, 2, padding="same")(_convolution(x, 64, 5))
    return layers.Flatten()(x)


def _alexnet(x: Any) -> Any:
    """Normalised, then pooled."""
    x = _pooled(LocalResponseNormalization()(_convolution(x, 96, 11, strides=4, padding="valid")))
    x = _pooled(LocalResponseNormalization()(_convolution(x, 256, 5, groups=2)))
    return _classified(x)


def _caffenet(x: Any) -> Any:
    """AlexNet, but pooled, then normalised, which takes less memory."""
    x = LocalResponseNormalization()(_pooled(_convolution(x, 96, 11, strides=4, padding="valid")))
    x = LocalResponseNormalization()(_pooled(_convolution(x, 256, 5, groups=2)))
    return _classified(x)


def _pooled(x: Any) -> Any:
    return layers.MaxPooling2D(3, 2)(x)


def _classified(x: Any) -> Any:
    x = _convolution(x, 384, 3)
    x = _convolution(x, 384, 3, groups=2)
    x = layers.Flatten()(_pooled(_convolution(x, 256, 3, groups=2)))
    return _dense(_dense(x, 4096), 4096)


_INCEPTIONS = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}
"""Filters of each module: 1x1; 3x3 reduced, 3x3; 5x5 reduced, 5x5; 1x1 after the pooling.
Szegedy et al. 2014 (arXiv:1409.4842), table 1."""


def _googlenet(x: Any) -> Any:
    def halved(x: Any) -> Any:
        return layers.MaxPooling2D(3, 2, padding="same")(x)

    x = LocalResponseNormalization()(halved(_convolution(x, 64, 7, strides=2)))
    x = _convolution(_convolution(x, 64, 1), 192, 3)
    x = halved(LocalResponseNormalization()(x))
    for name, filters in _INCEPTIONS.items():
        x = _inception(x, *filters)
        if name in ("3b", "4e"):
            x = halved(x)
    return layers.Dropout(0.4)(layers.GlobalAveragePooling2D()(x))


def _inception(x: Any, one: int, to_3: int, three: int, to_5: int, five: int, pool: int) -> Any:
    branches = [
        _convolution(x, one, 1),
        _convolution(_convolution(x, to_3, 1), three, 3),
        _convolution(_convolution(x, to_5, 1), five, 5),
        _convolution(layers.MaxPooling2D(3, 1, padding="same")(x), pool, 1),
    ]
    return layers.Concatenate()(branches)
