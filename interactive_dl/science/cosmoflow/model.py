"""The published networks, from numbers of particles to parameters of the universe.

What the originals do to the numbers before (their logarithm, or division by their mean) is the
first layer, what they do to the targets the last, so that a network takes and gives what is in
the files. Both backends lay volumes out as (batch, depth, height, width, channels).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from interactive_dl.science.cosmoflow.config import Config, Variant

PACKAGE = "interactive_dl.cosmoflow"
OUTPUT_SCALE = 1.2
CMU_SLOPE = 0.01
CMU_BIAS = 0.1


@keras.saving.register_keras_serializable(PACKAGE)
class Logarithm(layers.Layer):
    """log(1 + count) of each cell, less what it is where the count is ``reference``."""

    def __init__(self, reference: float = 0.0, **options: Any) -> None:
        super().__init__(**options)
        self.reference = reference

    def call(self, counts: Any) -> Any:
        """Same shape."""
        return ops.log1p(counts) - math.log1p(self.reference)

    def get_config(self) -> dict[str, Any]:
        """Arguments of a layer like this one."""
        return {**super().get_config(), "reference": self.reference}


@keras.saving.register_keras_serializable(PACKAGE)
class OverMean(layers.Layer):
    """Counts over their mean in the volume."""

    def call(self, counts: Any) -> Any:
        """Same shape."""
        return counts / ops.mean(counts, axis=(1, 2, 3), keepdims=True)


@keras.saving.register_keras_serializable(PACKAGE)
class Linear(layers.Layer):
    """factor * x + offset, both fixed: lists with one number for each of the last axis, or one."""

    def __init__(self, factor: Sequence[float], offset: Sequence[float], **options: Any) -> None:
        super().__init__(**options)
        self.factor = list(factor)
        self.offset = list(offset)

    def call(self, x: Any) -> Any:
        """Same shape."""
        factor, offset = (np.asarray(one, "float32") for one in (self.factor, self.offset))
        return x * factor + offset

    def get_config(self) -> dict[str, Any]:
        """Arguments of a layer like this one."""
        return {**super().get_config(), "factor": self.factor, "offset": self.offset}


@keras.saving.register_keras_serializable(PACKAGE)
class StandardisedError(keras.losses.Loss):
    """Mean absolute error of parameters over the standard deviations of their ranges."""

    def __init__(self, deviations: Sequence[float], **options: Any) -> None:
        super().__init__(**options)
        self.deviations = list(deviations)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Shape (batch,)."""
        deviations = np.asarray(self.deviations, "float32")
        return ops.mean(ops.abs(ops.cast(y_true, y_pred.dtype) - y_pred) / deviations, axis=-1)

    def get_config(self) -> dict[str, Any]:
        """Arguments of a loss like this one."""
        return {**super().get_config(), "deviations": self.deviations}


def build_model(config: Config) -> keras.Model:
    """The network of a configuration, not compiled.

    At full size ``mlperf`` has 8,907,556 parameters, ``sc18`` 7,041,443 (7,038,128 of them
    weights, which are the published 28.15 MB), ``cmu`` 2,178,146 without its normalisation.

    Returns:
        Numbers of particles, float32, shape (batch, *config.input_shape), to parameters,
        (batch, targets): of ``mlperf`` in [-1.2, 1.2], where -1 and 1 are the ends of their ranges,
        of the others in their own units.
    """
    return _NETWORKS[config.variant](config)


def _mlperf(config: Config) -> keras.Model:
    """MLPerf HPC: as many blocks of convolution, LeakyReLU (Keras's 0.3) and maximum as filters."""
    logarithm = Logarithm(config.mean_count if config.centred else 0.0)
    stack: list[layers.Layer] = [keras.Input(config.input_shape), logarithm]
    for filters in config.conv:
        stack += [
            layers.Conv3D(filters, 3, padding="same"),
            layers.LeakyReLU(),
            layers.MaxPooling3D(),
        ]
    stack.append(layers.Flatten())
    for units in config.dense:
        stack += [layers.Dense(units), layers.LeakyReLU(), *_dropout(config.dropout)]
    stack += [
        layers.Dense(len(config.targets), activation="tanh"),
        Linear([OUTPUT_SCALE], [0.0]),
    ]
    return keras.Sequential(stack, name="cosmoflow_mlperf")


def _sc18(config: Config) -> keras.Model:
    """SC18: seven convolutions, the first three each followed by an average.

    The paper's size in bytes is that of the weights of ``CosmoNet.py`` in NERSC/CosmoFlow. There
    the fourth convolution takes the third's output past its average, with which 2048 features
    could not come out of 128^3 cells; the strides here are those of ``CosmoNet_128128.py`` beside
    it, which fit.
    """
    kernels, strides = (3, 4, 4, 3, 3, 2, 2), (1, 1, 1, 2, 1, 1, 1)
    stack: list[layers.Layer] = [keras.Input(config.input_shape), OverMean()]
    for position, filters in enumerate(config.conv):
        stack += [
            _cmu_convolution(filters, kernels[position], strides[position]),
            layers.LeakyReLU(CMU_SLOPE),
        ]
        if position < 3:
            stack.append(layers.AveragePooling3D(2))
    return keras.Sequential([*stack, *_cmu_head(config)], name="cosmoflow_sc18")


def _cmu(config: Config) -> keras.Model:
    """The CMU group's: six convolutions, normalised, two averages (``CosmoNet_noFeed``)."""
    kernels, strides = (3, 4, 4, 3, 2, 2), (1, 1, 2, 1, 1, 1)
    stack: list[layers.Layer] = [keras.Input(config.input_shape), OverMean()]
    for position, filters in enumerate(config.conv):
        stack += [
            _cmu_convolution(filters, kernels[position], strides[position]),
            layers.BatchNormalization(momentum=0.99, epsilon=1e-4),
            layers.LeakyReLU(CMU_SLOPE),
        ]
        if position < 2:
            stack.append(layers.AveragePooling3D(2))
    return keras.Sequential([*stack, *_cmu_head(config)], name="cosmoflow_cmu")


def _cmu_convolution(filters: int, kernel: int, stride: int) -> layers.Layer:
    return layers.Conv3D(
        filters, kernel, strides=stride, bias_initializer=keras.initializers.Constant(CMU_BIAS)
    )


def _cmu_head(config: Config) -> list[layers.Layer]:
    """Dense layers, each after dropout, to parameters of which the network gives z-scores."""
    head: list[layers.Layer] = [layers.Flatten()]
    bias = keras.initializers.Constant(CMU_BIAS)
    for units in config.dense:
        head += [
            *_dropout(config.dropout),
            layers.Dense(units, bias_initializer=bias),
            layers.LeakyReLU(CMU_SLOPE),
        ]
    means = [target.mean for target in config.targets]
    deviations = [target.deviation for target in config.targets]
    return [
        *head,
        *_dropout(config.dropout),
        layers.Dense(len(config.targets), bias_initializer=bias),
        Linear(deviations, means),
    ]


def _dropout(rate: float) -> list[layers.Layer]:
    return [layers.Dropout(rate)] if rate else []


_NETWORKS: dict[Variant, Callable[[Config], keras.Model]] = {
    "cmu": _cmu,
    "sc18": _sc18,
    "mlperf": _mlperf,
}
