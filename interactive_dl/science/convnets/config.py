"""Sizes to train at: a laptop's, and those of CIFAR-10 and ImageNet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Network = Literal["cifar", "alexnet", "caffenet", "googlenet"]


@dataclass(frozen=True)
class Config:
    """One training of the ConvNets case.

    Attributes:
        network: which one.
        size: pixels in height and width.
        classes: kinds of drawings, 10 to 1000.
        train, val, test: numbers of images.
        optimizer: ``sgd`` with a momentum of 0.9 (the zoo's), or ``adam``.
        learning_rate: for one rank.
        warmup_epochs: over which the rate scaled to all ranks is reached.
        batch_size: samples per step; of each rank where the scaling is weak.
        epochs: passes over the training images.
    """

    network: Network
    size: int
    classes: int
    train: int
    val: int
    test: int
    optimizer: Literal["sgd", "adam"]
    learning_rate: float
    warmup_epochs: float
    batch_size: int
    epochs: int

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(height, width, channels) of the images."""
        return (self.size, self.size, 3)


LAPTOP = Config("cifar", 32, 10, 4000, 500, 1000, "adam", 1e-3, 0, 32, 7)
"""Half a minute on two cores. Right on 87 to 96 % of the test images with five seeds; the zoo's SGD
needs more epochs to begin than a laptop has time for."""

FULL_SIZE = Config("cifar", 32, 10, 45_000, 5_000, 10_000, "sgd", 1e-3, 0, 100, 120)
"""As many images as CIFAR-10 has."""

ALEXNET = Config("alexnet", 227, 1000, 1_281_167, 5_000, 50_000, "sgd", 0.01, 5, 256, 90)
"""As many images as ImageNet has; Caffe's batches and rates."""

CAFFENET = Config("caffenet", 227, 1000, 1_281_167, 5_000, 50_000, "sgd", 0.01, 5, 256, 90)

GOOGLENET = Config("googlenet", 224, 1000, 1_281_167, 5_000, 50_000, "sgd", 0.01, 5, 32, 60)
