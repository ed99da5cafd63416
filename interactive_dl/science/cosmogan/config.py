"""Sizes to train at: a laptop's, and the published one; either also told the maps' amplitude."""

from __future__ import annotations

from dataclasses import dataclass, replace

from interactive_dl.science.config import Generated


@dataclass(frozen=True)
class Config(Generated):
    """One training of the CosmoGAN case.

    Attributes:
        size: pixels along each side of a map.
        cutoff: wave number, in waves per map, where the field's spectrum falls off.
        amplitudes: standard deviations of the field's logarithm, of which each map has one. More
            than one makes the training conditional: the networks are told which.
        held_out: amplitudes of the test maps, between those trained on. Empty: the same ones.
        latent: random numbers from which a map is generated.
        generator: filters of its layers, from the coarsest.
        discriminator: filters of its convolutions, from the finest.
        flip: probability that a step takes real maps for generated ones and the reverse.
    """

    size: int
    cutoff: float
    amplitudes: tuple[float, ...]
    held_out: tuple[float, ...]
    latent: int
    generator: tuple[int, ...]
    discriminator: tuple[int, ...]
    flip: float

    def __post_init__(self) -> None:
        halved = 2 ** max(len(self.generator), len(self.discriminator))
        if self.size % halved:
            raise ValueError(
                "`size` must be divisible by 2 once per layer of either network,"
                f" but got (size={self.size}, generator={self.generator},"
                f" discriminator={self.discriminator})."
            )
        least, largest = min(self.amplitudes), max(self.amplitudes)
        if any(not least < one < largest or one in self.amplitudes for one in self.held_out):
            raise ValueError(
                "`held_out` must lie between the amplitudes trained on, and be none of them, but"
                f" got (amplitudes={self.amplitudes}, held_out={self.held_out})."
            )

    @property
    def is_conditional(self) -> bool:
        """Whether the networks are told the maps' amplitude."""
        return len(self.amplitudes) > 1

    def amplitudes_of(self, split: str) -> tuple[float, ...]:
        """Those of the maps of a split."""
        return (split == "test" and self.held_out) or self.amplitudes


LAPTOP = Config(
    size=16,
    cutoff=4.0,
    amplitudes=(0.8,),
    held_out=(),
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

LAPTOP_CONDITIONAL = replace(
    LAPTOP, amplitudes=(0.2, 0.6, 1.0), held_out=(0.4, 0.8), test=4096, epochs=60
)
"""Three points to learn from, and two between them to be asked about; the maps' power at neighbours
differs by a factor of 2 to 5."""

FULL_SIZE = Config(
    size=256,
    cutoff=64.0,
    amplitudes=(0.8,),
    held_out=(),
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

FULL_CONDITIONAL = replace(
    FULL_SIZE,
    size=64,
    cutoff=16.0,
    amplitudes=(0.2, 0.4, 0.6, 0.8, 1.0),
    held_out=(0.3, 0.5, 0.7, 0.9),
    train=40_000,
    latent=100,
)
"""64x64 pixels and 100 random numbers, as the conditional generator of whole-detector images has
that interpolates between simulated masses (Farrell et al., EPJ Web Conf. 214 (2019) 09005; not
verified in detail), with the networks that cosmoGAN's code has for maps of this size."""
