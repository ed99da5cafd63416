"""Sizes to train at: a laptop's, and the published one."""

from __future__ import annotations

from dataclasses import dataclass

from interactive_dl.science.climate_boxes.frames import CHANNELS, KINDS
from interactive_dl.science.config import Generated


@dataclass(frozen=True)
class Config(Generated):
    """One training of the climate boxes.

    Attributes:
        size: pixels in latitude and in longitude.
        channels: fields of a frame, some of ``frames.CHANNELS``.
        classes: what has boxes, some of ``frames.KINDS``; the others are there without.
        labelled: share of the training frames whose boxes may be used.
        filters: of the encoder's convolutions, each of which halves a frame.
        reconstruction: weight of the autoencoder's error in the loss; 0: no autoencoder.
        confidence: with less than this, what is found does not count.
    """

    size: int
    channels: tuple[str, ...]
    classes: tuple[str, ...]
    labelled: float
    filters: tuple[int, ...]
    reconstruction: float
    confidence: float

    def __post_init__(self) -> None:
        if self.size % self.cell:
            raise ValueError(
                "`size` must be divisible by 2 once per filter, but got"
                f" (size={self.size}, filters={self.filters})."
            )

    @property
    def cell(self) -> int:
        """Pixels along each side of a cell, in which one box can be found."""
        return int(2 ** len(self.filters))

    @property
    def grid(self) -> int:
        """Cells along each side of a frame."""
        return self.size // self.cell

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(height, width, channels) of the frames."""
        return (self.size, self.size, len(self.channels))


LAPTOP = Config(
    size=96,
    channels=("PRECT", "PSL", "T200", "T500", "TMQ", "U850", "V850", "Z1000"),
    classes=("tc", "etc"),
    train=1200,
    val=60,
    test=200,
    labelled=0.5,
    filters=(16, 32, 64),
    reconstruction=10.0,
    confidence=0.8,
    learning_rate=1e-3,
    warmup_epochs=0,
    batch_size=8,
    epochs=6,
)
"""On two cores of a busy machine 26 to 35 s, and 10 s for the frames."""

FULL_SIZE = Config(
    size=768,
    channels=tuple(CHANNELS),
    classes=KINDS,
    train=400_000,
    val=1460,
    test=1460,
    labelled=0.5,
    filters=(128, 256, 512, 768, 1024, 1280),
    reconstruction=10.0,
    confidence=0.8,
    learning_rate=1e-4,
    warmup_epochs=0,
    batch_size=8,
    epochs=10,
)
"""9608 nodes in 8 groups, 8 frames per node and step; about 400,000 frames, 15 TB (the "15 PF"
paper's subset; others of the same simulation are quoted with 20, 8.8 and 3.5 TB). Rate and encoder
are ``hur-detect``'s; which share of the frames had labels, and how long it was trained, is not
published."""
