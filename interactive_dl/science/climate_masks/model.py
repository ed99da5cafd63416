"""Both networks of arXiv:1810.01993, from the channels of a frame to logits of its pixels' classes.

After its code, whose decay of the weights is left out: it is computed there, but not added to what
is minimised.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import layers

from interactive_dl.science.climate_masks.config import Config, DeepLab, Tiramisu
from interactive_dl.science.climate_masks.frames import CLASSES


def build_model(config: Config) -> keras.Model:
    """The network of a configuration, not compiled.

    At full size ``deeplab`` has 43,669,251 parameters.

    Returns:
        Frames, float32, shape (batch, *config.input_shape), to logits, (batch, height, width, 3).
    """
    frames = keras.Input(config.input_shape)
    if isinstance(config.network, Tiramisu):
        return keras.Model(frames, _tiramisu(frames, config.network), name="tiramisu")
    return keras.Model(frames, _deeplab(frames, config.network), name="deeplab")


def _tiramisu(frames: Any, network: Tiramisu) -> Any:
    """Dense blocks, coarser and coarser, and back; upwards only what a block has added is passed.

    It is made coarser by 1x1 convolutions of stride 2, where the tiramisu of arXiv:1611.09326 takes
    maxima.
    """
    x = _layer(frames, network.filters, network.kernel, network)
    skips = []
    for depth in network.blocks[:-1]:
        x, _ = _dense_block(x, depth, network)
        skips.append(x)
        x = _layer(x, x.shape[-1], 1, network, strides=2)
    _, added = _dense_block(x, network.blocks[-1], network)
    for depth, skip in zip(reversed(network.blocks[:-1]), reversed(skips), strict=True):
        upwards = layers.Conv2DTranspose(
            added.shape[-1], 3, strides=2, padding="same", kernel_initializer="he_uniform"
        )
        x, added = _dense_block(layers.Concatenate()([upwards(added), skip]), depth, network)
    return layers.Conv2D(len(CLASSES), 1, kernel_initializer="he_uniform")(x)


def _dense_block(x: Any, depth: int, network: Tiramisu) -> tuple[Any, Any]:
    """Layers that see the outputs of all before; all of these, and what the block has added."""
    added: list[Any] = []
    for _ in range(depth):
        added.append(_layer(x, network.growth, network.kernel, network))
        x = layers.Concatenate()([x, added[-1]])
    return x, layers.Concatenate()(added) if depth > 1 else added[0]


def _layer(x: Any, filters: int, kernel: int, network: Tiramisu, strides: int = 1) -> Any:
    x = layers.Conv2D(
        filters, kernel, strides=strides, padding="same", kernel_initializer="he_uniform"
    )(x)
    if network.normalised:
        x = layers.BatchNormalization(momentum=0.9)(x)
    x = layers.ReLU()(x)
    return layers.Dropout(network.dropout)(x) if network.dropout else x


def _deeplab(frames: Any, network: DeepLab) -> Any:
    """DeepLabv3+ (arXiv:1802.02611): encoder at an eighth of the resolution, pyramid, decoder."""
    width, normalised = network.width, network.normalised
    encoded, quarter = _encoder(frames, network)
    x = _pyramid(encoded, 4 * width, network)
    quarter = _convolution(quarter, 3 * width // 4, 1, normalised)
    if network.decoder == "bilinear":
        x = layers.UpSampling2D(2, interpolation="bilinear")(x)
    else:
        x = _upwards(x, 4 * width)
    x = layers.Concatenate()([x, quarter])
    for _ in range(2):
        x = _convolution(x, 4 * width, 3, normalised)
    if network.decoder == "bilinear":
        return layers.UpSampling2D(4, interpolation="bilinear")(_logits(x))
    x = _upwards(_upwards(x, 4 * width), 4 * width)
    if network.decoder == "deconv1x":
        beside = _plain(_plain(frames, width), 2 * width)
        x = _plain(_plain(layers.Concatenate()([x, beside]), 4 * width), 4 * width)
    return _logits(x)


def _encoder(frames: Any, network: DeepLab) -> tuple[Any, Any]:
    """ResNet-50 of the second version: activations at an eighth and at a quarter of the resolution.

    The first stage halves in its last unit, as in TensorFlow's slim; later ones dilate instead.
    """
    width = network.width
    x = layers.Conv2D(width, 7, strides=2, padding="same", kernel_initializer="he_normal")(frames)
    x = layers.MaxPooling2D(3, 2, padding="same")(x)
    quarter = None
    for stage, (units, rate) in enumerate(zip(network.units, (1, 1, 2, 4), strict=True)):
        for unit in range(units):
            is_halving = stage == 0 and unit == units - 1
            x, inner = _residual(x, width * 2**stage, 2 if is_halving else 1, rate, network)
            quarter = inner if is_halving else quarter
    return x, quarter


def _residual(x: Any, filters: int, strides: int, rate: int, network: DeepLab) -> tuple[Any, Any]:
    """A bottleneck unit: its output, and what its first convolution gives."""
    normalised, out = network.normalised, 4 * filters
    active = layers.ReLU()(_normalise(x, normalised))
    if x.shape[-1] == out:
        shortcut = layers.MaxPooling2D(1, strides)(x) if strides > 1 else x
    else:
        shortcut = _linear(active, out, strides)
    inner = _convolution(active, filters, 1, normalised)
    dilated = _convolution(inner, filters, 3, normalised, strides=strides, dilation_rate=rate)
    return layers.Add()([shortcut, _linear(dilated, out)]), inner


def _pyramid(x: Any, filters: int, network: DeepLab) -> Any:
    """What is at a pixel, what is around it at three distances, and the mean over the frame."""
    normalised = network.normalised
    height, width = x.shape[1:3]
    # never normalised: where a batch is one frame, its mean has no spread to be divided by
    mean = _convolution(layers.GlobalAveragePooling2D(keepdims=True)(x), filters, 1, False)
    views = [
        _convolution(x, filters, 1, normalised),
        *(_convolution(x, filters, 3, normalised, dilation_rate=rate) for rate in network.rates),
        layers.UpSampling2D((height, width))(mean),
    ]
    return _convolution(layers.Concatenate()(views), filters, 1, normalised)


def _convolution(x: Any, filters: int, kernel: int, normalised: bool, **options: Any) -> Any:
    """Normalised, which leaves no use for a bias, then rectified."""
    x = layers.Conv2D(
        filters, kernel, padding="same", use_bias=False, kernel_initializer="he_normal", **options
    )(x)
    return layers.ReLU()(_normalise(x, normalised))


def _normalise(x: Any, normalised: bool) -> Any:
    """Normalised, or halved: deep sums would leave the range of half precision."""
    layer = layers.BatchNormalization(momentum=0.9) if normalised else layers.Rescaling(0.5)
    return layer(x)


def _linear(x: Any, filters: int, strides: int = 1) -> Any:
    return layers.Conv2D(filters, 1, strides=strides, kernel_initializer="he_normal")(x)


def _plain(x: Any, filters: int) -> Any:
    return layers.Conv2D(filters, 3, padding="same", kernel_initializer="he_uniform")(x)


def _upwards(x: Any, filters: int) -> Any:
    return layers.Conv2DTranspose(
        filters, 3, strides=2, padding="same", kernel_initializer="he_uniform"
    )(x)


def _logits(x: Any) -> Any:
    return _linear(x, len(CLASSES))
