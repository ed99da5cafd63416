"""The three published forms of CosmoFlow, and sizes to train them at.

They share a name and a task, nothing else: the numbers of one are no yardstick for another.

=======  ==========================  ============================  ===============================
variant  published as                sees                          predicts
=======  ==========================  ============================  ===============================
cmu      the CMU group's network,    64^3 cells, one channel       Omega_m, sigma_8
         NERSC/CosmoFlow
sc18     arXiv:1808.04728            128^3, one channel            Omega_m, sigma_8, n_s
mlperf   MLPerf HPC                  128^3, four redshifts         Omega_m, sigma_8, n_s, H_0
=======  ==========================  ============================  ===============================
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

from interactive_dl.science.config import Generated

Variant = Literal["cmu", "sc18", "mlperf"]


class Target(NamedTuple):
    """A parameter of the universe that is to be found, drawn uniformly from a range.

    Attributes:
        name: as in ``Cosmology``.
        low, high: ends of the range.
    """

    name: str
    low: float
    high: float

    @property
    def mean(self) -> float:
        """Of the range; NERSC/CosmoFlow has means and deviations as constants, these within 4 %."""
        return (self.low + self.high) / 2

    @property
    def deviation(self) -> float:
        """Standard deviation of values drawn from the range."""
        return (self.high - self.low) / math.sqrt(12)


@dataclass(frozen=True)
class Config(Generated):
    """One training of the CosmoFlow case.

    Attributes:
        variant: which of the published forms.
        targets: what is to be found; other parameters are those of ``Cosmology``.
        redshifts: of the snapshots, one per channel.
        box: side of a simulated universe in Mpc/h.
        particles: along each side of it.
        cells: along each side of it.
        side: of a sample, in cells; the universe is cut into (cells / side)^3 samples.
        order: of Lagrangian perturbation theory: 1 (Zel'dovich) or 2.
        centred: whether ``mlperf``'s logarithm is taken relative to that at mean density, without
            which 16^3 cells of 8 particles on average teach nothing (the published net has 1).
        conv: filters of the convolutions, in order.
        dense: units of the hidden dense layers.
        dropout: share of activations dropped there.
        optimizer: ``adam``, or ``sgd`` with momentum 0.9.
    """

    variant: Variant
    targets: tuple[Target, ...]
    redshifts: tuple[float, ...]
    box: float
    particles: int
    cells: int
    side: int
    order: int
    centred: bool
    conv: tuple[int, ...]
    dense: tuple[int, ...]
    dropout: float
    optimizer: Literal["adam", "sgd"]

    def __post_init__(self) -> None:
        if self.cells % self.side:
            raise ValueError(
                "`cells % side == 0` must hold, so that samples fill their universe,"
                f" but got (cells={self.cells}, side={self.side})."
            )

    @property
    def samples_per_universe(self) -> int:
        """How many samples a universe is cut into."""
        return (self.cells // self.side) ** 3

    @property
    def mean_count(self) -> float:
        """Particles per cell on average."""
        return (self.particles / self.cells) ** 3

    @property
    def is_periodic(self) -> bool:
        """Whether a sample is a whole universe, whose opposite faces touch."""
        return self.cells == self.side

    @property
    def input_shape(self) -> tuple[int, int, int, int]:
        """(depth, height, width, channels) of a sample."""
        return (self.side, self.side, self.side, len(self.redshifts))


WIDE_OMEGA_M = Target("omega_m", 0.1, 0.5)
WIDE_SIGMA_8 = Target("sigma_8", 0.5, 1.1)
OMEGA_M = Target("omega_m", 0.25, 0.35)
SIGMA_8 = Target("sigma_8", 0.78, 0.95)
N_S = Target("n_s", 0.9, 1.0)
HUBBLE = Target("h", 0.6, 0.8)

LAPTOP = Config(
    variant="mlperf",
    targets=(WIDE_OMEGA_M, WIDE_SIGMA_8),
    redshifts=(0.0,),
    box=512.0,
    particles=32,
    cells=16,
    side=16,
    order=1,
    train=2000,
    val=300,
    test=500,
    centred=True,
    conv=(8, 16, 32),
    dense=(64, 32),
    dropout=0.0,
    optimizer="adam",
    learning_rate=2e-3,
    warmup_epochs=0,
    decay=((9, 0.3),),
    batch_size=32,
    epochs=13,
)

MLPERF = Config(
    variant="mlperf",
    targets=(OMEGA_M, SIGMA_8, N_S, HUBBLE),
    redshifts=(0.0, 0.5, 1.5, 3.0),
    box=512.0,
    particles=512,
    cells=512,
    side=128,
    order=2,
    train=524_288,
    val=65_536,
    test=65_536,
    centred=False,
    conv=(32, 64, 128, 256, 512),
    dense=(128, 64),
    dropout=0.5,
    optimizer="sgd",
    learning_rate=1e-3,
    warmup_epochs=4,
    decay=((32, 0.25), (64, 0.125)),
    batch_size=64,
    epochs=128,
)

SC18 = Config(
    variant="sc18",
    targets=(OMEGA_M, SIGMA_8, N_S),
    redshifts=(0.0,),
    box=512.0,
    particles=512,
    cells=512,
    side=128,
    order=2,
    train=99_456,
    val=3_200,
    test=3_136,
    centred=False,
    conv=(16, 32, 64, 128, 256, 256, 256),
    dense=(2048, 256),
    dropout=0.5,
    optimizer="adam",
    learning_rate=1e-4,
    warmup_epochs=0,
    batch_size=1,
    epochs=80,
)

CMU = Config(
    variant="cmu",
    targets=(OMEGA_M, Target("sigma_8", 0.79, 0.93)),
    redshifts=(0.0,),
    box=512.0,
    particles=512,
    cells=512,
    side=64,
    order=2,
    train=25_600,
    val=3_200,
    test=3_136,
    centred=False,
    conv=(16, 32, 64, 64, 128, 128),
    dense=(1024, 512, 256),
    dropout=0.5,
    optimizer="adam",
    learning_rate=1e-4,
    warmup_epochs=0,
    batch_size=1,
    epochs=80,
)
