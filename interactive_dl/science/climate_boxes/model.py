"""The semi-supervised detector: what finds the boxes also has to tell what a frame looks like.

After ``eracah/hur-detect``, the open relative of the "15 PF" paper's network. That one has 9
convolutions and 5 deconvolutions (302.1 MiB, not verified); this one 6 convolutions, 3 heads, and a
decoder without weights of its own: 66,530,698 parameters, 254 MiB, at full size.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import keras
from keras import layers, ops

from interactive_dl.science.climate_boxes.config import Config
from interactive_dl.science.climate_boxes.frames import CHANNELS
from interactive_dl.science.climate_boxes.loss import DECAY, detection_loss, reconstruction_loss

PACKAGE = "interactive_dl.climate_boxes"
KERNEL = 5
SLOPE = 0.1


class Tied(layers.Layer):
    """The way back through a convolution of stride 2, with its kernel and without a bias.

    Args:
        convolution: has been built.
    """

    def __init__(self, convolution: layers.Conv2D, **options: Any) -> None:
        super().__init__(**options)
        self.convolution = convolution

    def call(self, code: Any) -> Any:
        """From what the convolution gives, (batch, n, n, out), to (batch, 2n, 2n, in)."""
        return ops.conv_transpose(code, self.convolution.kernel, strides=2, padding="same")


@keras.saving.register_keras_serializable(PACKAGE)
class Detector(keras.Model):
    """Encoder, three heads, and a decoder that is the encoder turned round.

    Its outputs are the boxes' grid (see ``grid``) and the frames in units of their fields'
    deviations, reconstructed; ``predict`` gives the grid. It is trained on frames, grids and
    weights: of frames whose weight is 0 only the reconstruction counts.

    Args:
        config: size, channels, classes, filters and the weight of the reconstruction.
    """

    def __init__(self, config: Config) -> None:
        frames = keras.Input(config.input_shape)
        fields = [CHANNELS[name] for name in config.channels]
        standardise = layers.Rescaling(  # Normalization takes no deviation below 1e-7
            [1 / field.deviation for field in fields],
            [-field.mean / field.deviation for field in fields],
        )
        code, convolutions = standardise(frames), []
        for filters in config.filters:
            convolutions.append(_convolution(filters, KERNEL, strides=2))
            code = layers.LeakyReLU(SLOPE)(convolutions[-1](code))
        again = code
        for convolution in reversed(convolutions):
            again = Tied(convolution)(again)
            if convolution is not convolutions[0]:
                again = layers.LeakyReLU(SLOPE)(again)
        super().__init__(frames, [_heads(code, len(config.classes)), again], name="climate_boxes")
        self.config = config
        self._standardise = standardise
        self._means = {
            name: keras.metrics.Mean(name=name) for name in ("detection", "reconstruction")
        }

    @property
    def output_shape(self) -> tuple[int | None, ...]:
        """Of what ``predict`` gives."""
        shape: tuple[int | None, ...] = self.outputs[0].shape
        return shape

    def reconstruct(self, frames: Any) -> tuple[Any, Any]:
        """Frames as the encoder sees them and as the decoder tells them, (batch, n, n, channels).

        Both are in units of the fields' deviations from their means.
        """
        return self._standardise(frames), self(frames, training=False)[1]

    def predict_step(self, data: Any) -> Any:
        """The grids of a batch."""
        x, _, _ = keras.utils.unpack_x_y_sample_weight(data)
        return self(x, training=False)[0]

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """The combined loss: per frame of the batch, labelled or not, plus the kernels' decay."""
        found, again = y_pred
        detection = detection_loss(y, found)
        if sample_weight is not None:
            detection = detection * ops.reshape(sample_weight, (-1,))
        losses = {
            "detection": ops.mean(detection),
            "reconstruction": ops.mean(reconstruction_loss(self._standardise(x), again)),
        }
        for name, value in losses.items():
            self._means[name].update_state(value)
        reconstruction = self.config.reconstruction * losses["reconstruction"]
        return losses["detection"] + reconstruction + sum(self.losses)

    def get_config(self) -> dict[str, Any]:
        """Arguments of a model like this one."""
        return {"config": asdict(self.config)}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Detector:
        """The inverse of ``get_config``; JSON has made lists of tuples."""
        fields: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in config["config"].items()
        }
        return cls(Config(**fields))


def _heads(code: Any, classes: int) -> Any:
    """The grid: where and how large a box is, whether there is one, and of which class."""
    normed = layers.BatchNormalization(momentum=0.9)(code)
    middle = keras.initializers.Constant(0.5)
    box = _head(4, activation="relu", bias_initializer=middle)(normed)
    is_there = _head(2, activation="softmax")(normed)
    kind = _head(classes, activation="softmax")(normed)
    return layers.Concatenate()([box, is_there, kind])


def _head(filters: int, **options: Any) -> layers.Conv2D:
    """Begins near its bias: He's kernels would put half of the boxes where a ReLU cannot learn."""
    small = keras.initializers.RandomNormal(stddev=0.01)
    return _convolution(filters, 3, kernel_initializer=small, **options)


def _convolution(
    filters: int, size: int, *, kernel_initializer: Any = "he_normal", **options: Any
) -> layers.Conv2D:
    return layers.Conv2D(
        filters,
        size,
        padding="same",
        kernel_initializer=kernel_initializer,
        kernel_regularizer=keras.regularizers.L2(DECAY),
        **options,
    )
