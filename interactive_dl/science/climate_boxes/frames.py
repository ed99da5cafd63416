"""Frames of a climate simulation with storms in them: random weather, from a seed per frame.

Fields are drawn in units of their usual deviation and written in physical ones: a profile over the
latitudes, smooth noise, storms, and noise of each pixel, so that no pixel by itself tells much. Nor
does any field: storms are what goes together. A tropical cyclone is a low with wind around it, a
warm core and moisture; an extratropical one is cold; a depression is a weak tropical one. Beside
them there are lows without wind and eddies without a low, with the same cores, moist spots, and
jets. Radial profiles of cyclones are Holland's (Mon. Weather Rev. 108 (1980) 1212).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np

from interactive_dl.science import noise

Kind = Literal["td", "tc", "etc", "ar"]
KINDS: tuple[Kind, ...] = ("td", "tc", "etc", "ar")
"""Tropical depression, tropical cyclone, extratropical cyclone, atmospheric river: the numbers of
the classes in the original's files."""

ROWS = 15
"""Boxes for which the original's files have room in each frame."""

REACH = 2.2
"""Half the side of a cyclone's box, in radii of its strongest wind."""

LATITUDE = 60.0
"""Frames go from the south's to the north's, in degrees."""

_HOLLAND = 1.5
_TILT = -1.5
_SMOOTH, _PIXEL = 0.7, 1.0
_TRIES = 20
_RADII_FOR = 96
"""Pixels of the frames for which sizes of storms are given."""


@dataclass(frozen=True)
class Channel:
    """A field.

    Attributes:
        mean: in physical units.
        deviation: what it varies by, in physical units.
        warmth: how much more of it there is at the equator than at the edges, in deviations.
        follows: the field of which it is a mixture with noise of its own; none: itself.
        share: how much of it.
    """

    mean: float
    deviation: float
    warmth: float = 0.0
    follows: str = ""
    share: float = 1.0


CHANNELS = {
    "PRECT": Channel(4e-8, 4e-8, 0.5),
    "PS": Channel(1.0e5, 1.0e3, 0.0, "PSL"),
    "PSL": Channel(1.012e5, 1.0e3, -0.5),
    "QREFHT": Channel(0.012, 0.004, 0.0, "TMQ", 0.8),
    "T200": Channel(218.0, 4.0, 0.5),
    "T500": Channel(262.0, 6.0, 2.0),
    "TMQ": Channel(28.0, 12.0, 2.0),
    "TREFHT": Channel(293.0, 8.0, 0.0, "T500", 0.8),
    "TS": Channel(294.0, 8.0, 0.0, "T500", 0.7),
    "U850": Channel(1.0, 6.0, -1.0),
    "UBOT": Channel(0.5, 5.0, 0.0, "U850", 0.8),
    "V850": Channel(0.0, 5.0),
    "VBOT": Channel(0.0, 4.0, 0.0, "V850", 0.8),
    "Z1000": Channel(100.0, 80.0, 0.0, "PSL", 0.9),
    "Z200": Channel(1.2e4, 250.0, 0.0, "T500", 0.8),
    "ZBOT": Channel(62.0, 2.0, 0.0, "T500", 0.5),
}
"""The 16 fields in the order of the original's files (SI units, heights in m, TMQ in kg / m^2).
Means and deviations are rough ones of Earth's; networks take them for granted."""

Fields = dict[str, np.ndarray]


@dataclass(frozen=True)
class Frame:
    """One moment.

    Attributes:
        image: fields in physical units, float32, shape (channels, size, size), from the south.
        boxes: a row for each storm that has one: ymin, xmin, ymax, xmax in pixels and the number
            of its class; other rows are -1. int32, shape (ROWS, 5).
    """

    image: np.ndarray
    boxes: np.ndarray


@dataclass(frozen=True)
class Storm:
    """Something in a frame; lengths in pixels.

    Attributes:
        y, x: of its centre.
        radius: where its wind is the strongest.
    """

    y: float
    x: float
    radius: float


def draw(
    rng: np.random.Generator, size: int, channels: Sequence[str], classes: Sequence[str]
) -> Frame:
    """Draw a frame.

    Args:
        rng: the frame's own.
        size: pixels in latitude and in longitude.
        channels: which fields to give.
        classes: kinds of storms that get boxes; their numbers count from the first.
    """
    fields = _weather(rng, size)
    boxes = np.full((ROWS, 5), -1, np.int32)
    found = [
        (*box, classes.index(kind)) for kind, box in _storms(rng, fields, size) if kind in classes
    ]
    if found:
        boxes[: len(found)] = found
    return Frame(np.stack([_given(rng, fields, name) for name in channels]), boxes)


def _weather(rng: np.random.Generator, size: int) -> Fields:
    """The fields that follow no other, without storms."""
    equator = np.cos(np.radians(_latitudes(size))) ** 2 - 0.66
    return {
        name: channel.warmth * equator[:, np.newaxis] + _SMOOTH * _smooth_noise(rng, size)
        for name, channel in CHANNELS.items()
        if not channel.follows
    }


def _given(rng: np.random.Generator, fields: Fields, name: str) -> np.ndarray:
    """A field with the noise of its pixels, in physical units, float32."""
    channel = CHANNELS[name]
    values = fields[channel.follows or name] * channel.share
    noisy = values + _PIXEL * rng.standard_normal(values.shape)
    return (channel.mean + channel.deviation * noisy).astype(np.float32)


def _latitudes(size: int) -> np.ndarray:
    return np.linspace(-LATITUDE, LATITUDE, size)


def _smooth_noise(rng: np.random.Generator, size: int) -> np.ndarray:
    """A Gaussian field of variance 1, shape (size, size)."""
    return noise.field(rng, _amplitudes(size))


@cache
def _amplitudes(size: int) -> np.ndarray:
    """Of waves: they fall as k^-1.5; the mean has none."""
    k = noise.wave_numbers(size)
    k[0, 0] = np.inf
    return noise.to_variance_1(k**_TILT)


# -- storms ---------------------------------------------------------------------------------------

Box = tuple[int, int, int, int]


def _storms(rng: np.random.Generator, fields: Fields, size: int) -> Iterator[tuple[Kind, Box]]:
    """Put storms and decoys into the fields; give the kinds and boxes of the storms."""
    placed: list[Storm] = []
    for name, cyclone in _CYCLONES.items():
        for _ in range(rng.integers(cyclone.most + 1)):
            storm = _place(rng, cyclone, size, placed)
            if storm is None:
                continue
            placed.append(storm)
            cyclone.add(rng, fields, storm)
            if name in KINDS:
                yield name, _around(storm, size)
    for _ in range(rng.integers(2)):
        yield "ar", _river(rng, fields, size)
    _moist_spots(rng, fields, size)
    _jets(rng, fields, size)


@dataclass(frozen=True)
class Cyclone:
    """A kind of cyclone; strengths in deviations.

    Attributes:
        most: of them in a frame.
        latitudes: nearest to and farthest from the equator, in degrees.
        radii: smallest and largest, in pixels of a frame of ``_RADII_FOR``.
        depth: of the low.
        wind: around it.
        core: other fields at the centre.
    """

    most: int
    latitudes: tuple[float, float]
    radii: tuple[float, float]
    depth: float
    wind: float
    core: dict[str, float]

    def add(self, rng: np.random.Generator, fields: Fields, storm: Storm) -> None:
        """Add one, stronger or weaker by up to 20 %, to the fields."""
        strength = rng.uniform(0.8, 1.2)
        size = len(fields["PSL"])
        distance = np.maximum(_distance(storm, size), 1e-3)
        near = (storm.radius / distance) ** _HOLLAND
        fields["PSL"] -= strength * self.depth * -np.expm1(-near)
        # north of the equator counter-clockwise, south of it clockwise
        sense = 1.0 if storm.y > size / 2 else -1.0
        speed = sense * strength * self.wind * np.sqrt(near * np.exp(1 - near))
        dy, dx = _offsets(storm.y, storm.x, size)
        fields["U850"] -= speed * dy / distance
        fields["V850"] += speed * dx / distance
        core = {name: strength * value for name, value in self.core.items()}
        _add(fields, core, _bell(distance, 1.2 * storm.radius))


_WARM, _COLD = {"T200": 1.8, "T500": 1.5, "TMQ": 1.5}, {"T200": -1.8, "T500": -1.5}
_CYCLONES = {
    "tc": Cyclone(3, (10, 40), (1.9, 3.8), 2.2, 1.8, _WARM),
    "etc": Cyclone(2, (25, 52), (2.2, 4.2), 2.2, 1.8, _COLD),
    "td": Cyclone(2, (10, 30), (1.9, 3.8), 0.7, 0.6, {"T200": 0.4, "TMQ": 1.5}),
    "warm low": Cyclone(2, (10, 40), (1.9, 3.8), 2.2, 0.0, _WARM),
    "cold low": Cyclone(1, (25, 52), (2.2, 4.2), 2.2, 0.0, _COLD),
    "warm eddy": Cyclone(2, (10, 40), (1.9, 3.8), 0.0, 1.8, _WARM),
    "cold eddy": Cyclone(1, (25, 52), (2.2, 4.2), 0.0, 1.8, _COLD),
}
"""Lows without wind and eddies without a low are no storms, and have no boxes."""


def _place(
    rng: np.random.Generator, cyclone: Cyclone, size: int, others: Sequence[Storm]
) -> Storm | None:
    """A place whose box overlaps no other's, or none if there seems to be no room."""
    for _ in range(_TRIES):
        radius = rng.uniform(*cyclone.radii) * size / _RADII_FOR
        latitude = rng.choice([-1, 1]) * rng.uniform(*cyclone.latitudes)
        y, x = (latitude / LATITUDE + 1) * size / 2, rng.uniform(radius, size - radius)
        apart = (
            max(abs(y - other.y), abs(x - other.x)) > REACH * (radius + other.radius)
            for other in others
        )
        if all(apart):
            return Storm(y, x, radius)
    return None


def _moist_spots(rng: np.random.Generator, fields: Fields, size: int) -> None:
    for _ in range(rng.integers(3)):
        y, x = rng.uniform(0, size, 2)
        spot = Storm(y, x, rng.uniform(2, 5) * size / _RADII_FOR)
        _add(fields, {"TMQ": 2, "PRECT": 1.5}, _bell(_distance(spot, size), spot.radius))


def _jets(rng: np.random.Generator, fields: Fields, size: int) -> None:
    for _ in range(rng.integers(2)):
        row, width = rng.uniform(0, size), rng.uniform(2, 4) * size / _RADII_FOR
        fields["U850"] += 2 * _bell(np.arange(size)[:, np.newaxis] + 0.5 - row, width)


def _river(rng: np.random.Generator, fields: Fields, size: int) -> Box:
    """A band of moisture from the subtropics poleward, with wind along it; gives its box."""
    sense = rng.choice([-1, 1])
    start = np.array([(sense * rng.uniform(12, 22) / LATITUDE + 1) / 2, rng.uniform(0.05, 0.5)])
    end = start + np.array([sense * rng.uniform(0.15, 0.25), rng.uniform(0.2, 0.35)])
    start, end = start * size, end * size
    along = (end - start) / np.hypot(*(end - start))
    width = rng.uniform(0.012, 0.02) * size
    dy, dx = _offsets(start[0], start[1], size)
    position = np.clip(dy * along[0] + dx * along[1], 0, np.hypot(*(end - start)))
    inside = _bell(np.hypot(dy - position * along[0], dx - position * along[1]), width)
    _add(fields, {"TMQ": 3, "PRECT": 1, "V850": 2.5 * along[0], "U850": 2.5 * along[1]}, inside)
    corners = np.array([start, end])
    low, high = corners.min(axis=0) - width, corners.max(axis=0) + width
    return _whole((*low, *high), size)


def _around(storm: Storm, size: int) -> Box:
    half = REACH * storm.radius
    return _whole((storm.y - half, storm.x - half, storm.y + half, storm.x + half), size)


def _whole(edges: Sequence[float], size: int) -> Box:
    """Edges in whole pixels, within the frame."""
    ymin, xmin, ymax, xmax = (int(edge) for edge in np.clip(np.rint(edges), 0, size))
    return ymin, xmin, ymax, xmax


def _offsets(y: float, x: float, size: int) -> tuple[np.ndarray, np.ndarray]:
    """From a place to the centres of the pixels, in y, (size, 1), and in x, (1, size)."""
    centres = np.arange(size) + 0.5
    return centres[:, np.newaxis] - y, centres[np.newaxis] - x


def _distance(storm: Storm, size: int) -> np.ndarray:
    return np.hypot(*_offsets(storm.y, storm.x, size))


def _bell(distance: np.ndarray, width: float) -> np.ndarray:
    bell: np.ndarray = np.exp(-((distance / width) ** 2) / 2)
    return bell


def _add(fields: Fields, amounts: dict[str, float], where: np.ndarray) -> None:
    for name, amount in amounts.items():
        fields[name] += amount * where
