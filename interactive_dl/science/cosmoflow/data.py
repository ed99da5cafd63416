"""Samples: simulated universe by universe, each from a seed of its own, and written."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from interactive_dl.science.cosmoflow import records, structure
from interactive_dl.science.cosmoflow.config import Config
from interactive_dl.science.cosmoflow.cosmology import Cosmology
from interactive_dl.science.splits import SPLIT_START

SPLIT_FOLDERS = {"train": "train", "val": "validation", "test": "test"}
"""As MLPerf names them."""

SAMPLES_PER_FILE = 64
"""Of the one-channel variants; MLPerf's files hold one sample each."""


@dataclass(frozen=True)
class Volumes:
    """Simulated samples.

    Attributes:
        counts: particles per cell, int16, shape (samples, side, side, side, channels).
        parameters: the targets in their own units, float64, shape (samples, targets).
    """

    counts: np.ndarray
    parameters: np.ndarray

    def __len__(self) -> int:
        return len(self.parameters)


def generate(config: Config, count: int, *, seed: int = 0, start: int = 0) -> Volumes:
    """Simulate samples.

    Sample ``i`` depends on ``seed`` and ``start + i`` alone, so that every rank can generate its
    own share, and a longer run begins with the samples of a shorter one.

    Args:
        config: which universes, and how they are cut.
        count: number of samples.
        seed: of all samples together.
        start: number of the first sample.
    """
    counts = np.empty((count, *config.input_shape), np.int16)
    parameters = np.empty((count, len(config.targets)))
    for index, sample in enumerate(islice(_samples(config, seed, start), count)):
        counts[index], parameters[index] = sample
    return Volumes(counts, parameters)


def _samples(config: Config, seed: int, start: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Samples from number ``start`` on, each with its parameters."""
    universe, first = divmod(start, config.samples_per_universe)
    while True:
        counts, parameters = simulate(config, np.random.default_rng((seed, universe)))
        for sample in islice(cut(counts, config.side), first, None):
            yield sample, parameters
        universe, first = universe + 1, 0


def simulate(config: Config, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """One universe.

    Returns:
        Particles per cell, int16, shape (cells, cells, cells, channels), and its parameters,
        shape (targets,).
    """
    parameters = np.array([rng.uniform(target.low, target.high) for target in config.targets])
    names = (target.name for target in config.targets)
    cosmology = Cosmology(**dict(zip(names, parameters.tolist(), strict=True)))
    k = structure.waves(config.particles, config.box)
    density = structure.linear_density(rng, cosmology, k)
    moved = structure.displacements(density, k, config.order)
    channels = []
    for z in config.redshifts:
        where = structure.positions(moved, cosmology, z, config.box)
        channels.append(structure.counts(where, config.cells, config.box))
    return np.stack(channels, axis=-1), parameters


def cut(universe: np.ndarray, side: int) -> Iterator[np.ndarray]:
    """Its cubes of ``side`` cells, the last axis of space first: shape (side, side, side, ...)."""
    corners = range(0, len(universe), side)
    for x in corners:
        for y in corners:
            for z in corners:
                yield universe[x : x + side, y : y + side, z : z + side]


def write_splits(config: Config, folder: Path, seed: int = 0) -> Path:
    """Write ``train``, ``validation`` and ``test``, folders of TFRecord files as the originals'.

    The samples of a split do not depend on the sizes of the others.

    Returns:
        The folder, for ``open(folder, "train")``.
    """
    for split, name in SPLIT_FOLDERS.items():
        samples = _samples(config, seed, SPLIT_START[split])
        target = Path(folder) / name
        target.mkdir(parents=True)
        _write(config, target, islice(samples, getattr(config, split)))
    return Path(folder)


def _write(config: Config, folder: Path, samples: Iterator[tuple[np.ndarray, np.ndarray]]) -> None:
    if config.variant == "mlperf":
        for index, (counts, parameters) in enumerate(samples):
            units = to_units(parameters, config)
            features: dict[str, records.Feature] = {"x": counts.tobytes(), "y": units}
            records.write(folder / f"sample_{index:06d}.tfrecord", [features])
        return
    index = 0
    while some := list(islice(samples, SAMPLES_PER_FILE)):
        examples = (
            {"data_raw": counts.astype("<f8").tobytes(), "label_raw": parameters.tobytes()}
            for counts, parameters in some
        )
        records.write(folder / f"{index:04d}.tfrecord", examples)
        index += 1


def to_units(parameters: np.ndarray, config: Config) -> np.ndarray:
    """Parameters as MLPerf has them: their ranges mapped to [-1, 1], shape (..., targets)."""
    low, high = _ranges(config)
    return 2 * (parameters - low) / (high - low) - 1


def from_units(units: np.ndarray, config: Config) -> np.ndarray:
    """The inverse of ``to_units``."""
    low, high = _ranges(config)
    return low + (units + 1) / 2 * (high - low)


def _ranges(config: Config) -> tuple[np.ndarray, np.ndarray]:
    low, high = zip(*((target.low, target.high) for target in config.targets), strict=True)
    return np.array(low), np.array(high)
