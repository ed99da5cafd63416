"""Sizes to train at: a laptop's, and those of CIFAR-10 and ImageNet."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from interactive_dl.science.config import Generated

Network = Literal["cifar", "alexnet", "caffenet", "googlenet"]


@dataclass(frozen=True)
class Config(Generated):
    """One training of the ConvNets case.

    Attributes:
        network: which one.
        size: pixels in height and width.
        classes: kinds of drawings, 10 to 1000.
        optimizer: ``sgd`` with a momentum of 0.9 (the zoo's), or ``adam``.
    """

    network: Network
    size: int
    classes: int
    optimizer: Literal["sgd", "adam"]

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(height, width, channels) of the images."""
        return (self.size, self.size, 3)


LAPTOP = Config(
    network="cifar",
    size=32,
    classes=10,
    train=4000,
    val=500,
    test=1000,
    optimizer="adam",
    learning_rate=1e-3,
    warmup_epochs=0,
    batch_size=32,
    epochs=7,
)
"""Half a minute on two cores. Right on 87 to 96 % of the test images with five seeds; the zoo's SGD
needs more epochs to begin than a laptop has time for."""

FULL_SIZE = replace(
    LAPTOP, train=45_000, val=5_000, test=10_000, optimizer="sgd", batch_size=100, epochs=120
)
"""As many images as CIFAR-10 has."""

ALEXNET = Config(
    network="alexnet",
    size=227,
    classes=1000,
    train=1_281_167,
    val=5_000,
    test=50_000,
    optimizer="sgd",
    learning_rate=0.01,
    warmup_epochs=5,
    batch_size=256,
    epochs=90,
)
"""As many images as ImageNet has; Caffe's batches and rates."""

CAFFENET = replace(ALEXNET, network="caffenet")

GOOGLENET = replace(ALEXNET, network="googlenet", size=224, batch_size=32, epochs=60)
