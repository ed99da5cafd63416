"""Sizes to train at: a laptop's, and the published ones."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from interactive_dl.science.config import Generated

Network = Literal["tiramisu", "deeplab"]
Loss = Literal["weighted", "weighted_mean", "mlperf", "sampled"]
Decoder = Literal["bilinear", "deconv", "deconv1x"]

GENERATED_FREQUENCIES = (0.948, 0.0095, 0.0425)
"""Shares of background, cyclones and rivers in frames of our own."""
PAPER_FREQUENCIES = (0.982, 0.00071, 0.0169)
"""The squares of what the code of arXiv:1810.01993 lists: 0.991, 0.0266, 0.13."""
MLPERF_FREQUENCIES = (0.98627, 0.000458, 0.01327)


@dataclass(frozen=True)
class Tiramisu:
    """A network of dense blocks.

    Attributes:
        blocks: layers of each block, from full resolution to the coarsest.
        growth: filters of each of these layers.
        kernel: pixels along each side of their filters.
        filters: of the first convolution.
        dropout: share of activations dropped after each convolution.
        normalised: whether batches are normalised after each convolution.
    """

    blocks: tuple[int, ...]
    growth: int
    kernel: int
    filters: int
    dropout: float
    normalised: bool

    @property
    def stride(self) -> int:
        """Pixels of the frame along a side of one of the coarsest activations."""
        return int(2 ** (len(self.blocks) - 1))


@dataclass(frozen=True)
class DeepLab:
    """A residual network with dilated convolutions, a pyramid of them, and a decoder.

    Attributes:
        width: filters of the first stage; all others are multiples.
        units: residual units of each stage.
        rates: dilations of the pyramid.
        decoder: ``bilinear``: up to a quarter of the resolution; ``deconv``: transposed
            convolutions up to the full one; ``deconv1x``: and the input beside them there.
        normalised: whether batches are normalised; if not, activations are halved in its place.
    """

    width: int
    units: tuple[int, int, int, int]
    rates: tuple[int, int, int]
    decoder: Decoder
    normalised: bool

    @property
    def stride(self) -> int:
        """Pixels of the frame along a side of one of the coarsest activations."""
        return 8


@dataclass(frozen=True)
class Config(Generated):
    """One training of the climate masks.

    Attributes:
        height, width: pixels.
        channels: of the 16, the first few.
        network: which one, and how large.
        loss: ``weighted``, ``weighted_mean``, ``mlperf`` or ``sampled``; see ``losses``.
        frequencies: shares of the classes, of which the weights are made.
        sample_target: pixels of each class that count (``sampled``).
        optimizer: ``adam``, or ``larc``: Adam behind LARC's trust ratio.
    """

    height: int
    width: int
    channels: int
    network: Tiramisu | DeepLab
    loss: Loss
    frequencies: tuple[float, float, float]
    sample_target: int
    optimizer: Literal["adam", "larc"]

    def __post_init__(self) -> None:
        if self.height % self.network.stride or self.width % self.network.stride:
            raise ValueError(
                f"`height` and `width` must be multiples of {self.network.stride} for this"
                f" network, but got (height={self.height}, width={self.width})."
            )

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(height, width, channels) of the frames."""
        return (self.height, self.width, self.channels)


LAPTOP = Config(
    height=64,
    width=96,
    channels=8,
    train=240,
    val=30,
    test=60,
    network=Tiramisu(
        blocks=(2, 2, 2), growth=8, kernel=3, filters=16, dropout=0.0, normalised=True
    ),
    loss="weighted_mean",
    frequencies=GENERATED_FREQUENCIES,
    sample_target=100,
    optimizer="adam",
    learning_rate=3e-3,
    warmup_epochs=0,
    batch_size=4,
    epochs=6,
)
"""A Tiramisu of 43,027 parameters; an epoch takes 8 seconds on one core."""

LAPTOP_DEEPLAB = replace(
    LAPTOP,
    network=DeepLab(
        width=8, units=(2, 2, 2, 2), rates=(1, 2, 4), decoder="deconv1x", normalised=True
    ),
    decay=((9, 0.3), (12, 0.1)),
    epochs=14,
)
"""543,147 parameters; an epoch takes 7 seconds on one core. What passes the encoder's bottlenecks
and the way beside it is ``width`` and less; with 4 the rivers are lost (an IoU of 0.4)."""

DEEPLAB = Config(
    height=768,
    width=1152,
    channels=16,
    train=121_266,
    val=15_158,
    test=15_158,
    network=DeepLab(
        width=64, units=(3, 4, 6, 3), rates=(12, 24, 36), decoder="deconv1x", normalised=False
    ),
    loss="weighted_mean",
    frequencies=PAPER_FREQUENCIES,
    sample_target=1000,
    optimizer="larc",
    learning_rate=1e-4,
    warmup_epochs=0,
    batch_size=1,
    epochs=16,
)
"""The network of the runs on Summit, up to 27,360 GPUs with a frame each: 43,669,251 parameters. In
training a frame takes 13.0 TFLOP by the count here, where the study has 14.4; what TensorFlow pads
dilated convolutions with may be the difference. As many frames as DeepCAM has (8.6 TB)."""

TIRAMISU = replace(
    DEEPLAB,
    network=Tiramisu(
        blocks=(2, 2, 2, 4, 5), growth=32, kernel=5, filters=48, dropout=0.2, normalised=False
    ),
)
"""The network of the runs on Piz Daint's 5300 GPUs: 7,148,611 parameters, 3.75 TFLOP a frame in
training, where 4.19 are reported (not verified)."""

ORIGINAL_TIRAMISU = replace(
    DEEPLAB,
    network=Tiramisu(
        blocks=(3, 3, 4, 4, 7, 7), growth=16, kernel=3, filters=48, dropout=0.2, normalised=False
    ),
)
"""The blocks that the study began with."""

MLPERF = replace(DEEPLAB, loss="mlperf", frequencies=MLPERF_FREQUENCIES)
"""With the loss of MLPerf's DeepCAM; its network has another encoder (Xception)."""
