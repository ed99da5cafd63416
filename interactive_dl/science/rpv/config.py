"""Sizes to train at: a laptop's, and the published one."""

from __future__ import annotations

from dataclasses import dataclass, replace

from interactive_dl.science.config import Generated


@dataclass(frozen=True)
class Config(Generated):
    """One training of the RPV case.

    Attributes:
        size: pixels in eta and in phi.
        conv, dense, dropout, strides: of the network, as ``build_model`` takes them.
    """

    size: int
    conv: tuple[int, ...]
    dense: int
    dropout: float
    strides: tuple[int, ...] | None = None

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(height, width, channels) of the images."""
        return (self.size, self.size, 1)


LAPTOP = Config(
    size=32,
    train=6000,
    val=1500,
    test=1500,
    conv=(8, 16, 32),
    dense=64,
    dropout=0.2,
    learning_rate=2e-3,
    warmup_epochs=0,
    batch_size=64,
    epochs=6,
)
"""Less than 20 s on two cores; AUC >= 0.80 after three or four epochs."""

FULL_SIZE = Config(
    size=64,
    train=412_416,
    val=137_471,
    test=137_471,
    conv=(16, 32, 64),
    dense=128,
    dropout=0.2,
    learning_rate=1e-3,
    warmup_epochs=5,
    batch_size=128,
    epochs=32,
)
"""8 to 64 nodes; the events of arXiv:1711.03573 in number. DistTrain's network, 547,841
parameters."""

FULL_SIZE_SMALL = replace(FULL_SIZE, conv=(8, 16, 32), dense=64)
"""The network that ``build_model`` of ``cori-intml-examples`` makes by default: 137,089."""

FULL_SIZE_SINGLE_NODE = replace(
    FULL_SIZE, conv=(64, 128, 256, 256), dense=512, dropout=0.0, strides=(1, 2, 1, 2)
)
"""Train_rpv's network: 34,515,201 parameters, and the worst of the three (accuracy 0.899)."""
