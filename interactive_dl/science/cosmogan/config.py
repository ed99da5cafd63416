"""Sizes to train at: a laptop's, and the published one."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Config:
    """One training of the CosmoGAN case.

    Attributes:
        size: pixels along each side of a map.
        cutoff: wave number, in waves per map, where the field's spectrum falls off.
        amplitudes: standard deviations of the field's logarithm, of which each map has one. More
            than one makes the training conditional: the networks are told which.
        train, val, test: numbers of maps.
        latent: random numbers from which a map is generated.
        generator: filters of its layers, from the coarsest.
        discriminator: filters of its convolutions, from the finest.
        flip: probability that a step takes real maps for generated ones and the reverse.
        learning_rate: both Adams', for one rank.
        warmup_epochs: over which the rate scaled to all ranks is reached.
        batch_size: maps per step.
        epochs: passes over the training maps.
    """

    size: int
    cutoff: float
    amplitudes: tuple[float, ...]
    train: int
    val: int
    test: int
    latent: int
    generator: tuple[int, ...]
    discriminator: tuple[int, ...]
    flip: float
    learning_rate: float
    warmup_epochs: float
    batch_size: int
    epochs: int

    def __post_init__(self) -> None:
        halved = 2 ** max(len(self.generator), len(self.discriminator))
        if self.size % halved:
            raise ValueError(
                "`size` must be divisible by 2 once per layer of either network,"
                f" but got (size={self.size}, generator={self.generator},"
                f" discriminator={self.discriminator})."
            )

    @property
    def is_conditional(self) -> bool:
        """Whether the networks are told the maps' amplitude."""
        return len(self.amplitudes) > 1


LAPTOP = Config(
    size=16,
    cutoff=4.0,
    amplitudes=(0.8,),
    train=4096,
    val=1024,
    test=2048,
    latent=24,
    generator=(32, 16),
    discriminator=(16, 32),
    flip=0.01,
    learning_rate=4e-4,
    warmup_epochs=0,
    batch_size=64,
    epochs=12,
)

FULL_SIZE = Config(
    size=256,
    cutoff=64.0,
    amplitudes=(0.8,),
    train=8000,
    val=1000,
    test=1000,
    latent=64,
    generator=(512, 256, 128, 64),
    discriminator=(64, 128, 256, 512),
    flip=0.01,
    learning_rate=2e-4,
    warmup_epochs=0,
    batch_size=64,
    epochs=50,
)
"""The maps and networks of arXiv:1706.02390 in number and size."""
