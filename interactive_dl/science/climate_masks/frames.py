"""Frames of a simulated climate: cyclones, atmospheric rivers, and what looks like them.

In place of CAM5's output with labels from TECA and flood filling. No pixel by itself tells its
class: noise is as large as the signal, and each sign of an event also belongs to one of the decoys,
moist blobs without wind, dry jets, and lows with a cold core.

Fields are arrays over latitude (90 to -90 degrees) and longitude, shape (height, width); positions
are in units of the width, which is once around the earth.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

BACKGROUND, CYCLONE, RIVER = 0, 1, 2
CLASSES = ("background", "cyclone", "river")
SPECTRUM = -1.5
"""Of the weather's amplitude in k."""
HOLLAND_B = 1.5
CYCLONE_EDGE = 2.2
"""Of a cyclone's mask, in radii of strongest wind."""
RIVER_EDGE = 0.45
"""Of a river's mask, in parts of its moisture on the axis."""
_AXIS_POINTS = 64


@dataclass(frozen=True)
class Mixture:
    """How a channel is made of the fields that are simulated.

    Attributes:
        of: the field.
        factor, offset: of the linear function of it.
        noise: standard deviation of what each pixel has of its own.
    """

    of: str
    factor: float
    offset: float
    noise: float


CHANNELS: dict[str, Mixture] = {
    "TMQ": Mixture("TMQ", 1.0, 0.0, 12.0),
    "U850": Mixture("U850", 1.0, 0.0, 15.0),
    "V850": Mixture("V850", 1.0, 0.0, 15.0),
    "PSL": Mixture("PSL", 100.0, 0.0, 1500.0),
    "T200": Mixture("T200", 1.0, 0.0, 3.0),
    "T500": Mixture("T500", 1.0, 0.0, 3.0),
    "PRECT": Mixture("PRECT", 1.0, 0.0, 12.0),
    "Z1000": Mixture("PSL", 8.0, -8000.0, 120.0),
    "UBOT": Mixture("U850", 0.8, 0.0, 12.0),
    "VBOT": Mixture("V850", 0.8, 0.0, 12.0),
    "QREFHT": Mixture("TMQ", 0.3, 1.0, 4.0),
    "PS": Mixture("PSL", 98.0, 0.0, 1600.0),
    "TS": Mixture("T500", 1.2, -20.0, 4.0),
    "TREFHT": Mixture("T500", 1.1, 0.0, 4.0),
    "Z200": Mixture("T200", 40.0, 3000.0, 150.0),
    "ZBOT": Mixture("T500", 0.25, 0.0, 1.0),
}
"""By name: precipitable water (kg / m^2), wind 850 (m / s), pressure (Pa), temperatures (K), rain
(mm / d), height (m), then what is close to the ground. A frame has the first few, or all 16."""


@dataclass(frozen=True)
class Grid:
    """Where the pixels of a frame are."""

    height: int
    width: int

    @cached_property
    def latitude(self) -> np.ndarray:
        """Degrees north, shape (height, 1)."""
        return (90 - 180 * (np.arange(self.height) + 0.5) / self.height)[:, np.newaxis]

    @cached_property
    def x(self) -> np.ndarray:
        """Eastwards, in 0 .. 1, shape (1, width)."""
        return ((np.arange(self.width) + 0.5) / self.width)[np.newaxis]

    @cached_property
    def y(self) -> np.ndarray:
        """Southwards, shape (height, 1)."""
        return ((np.arange(self.height) + 0.5) / self.width)[:, np.newaxis]

    def y_at(self, latitude: float) -> float:
        """Where a latitude is."""
        return (90 - latitude) / 180 * self.height / self.width

    def away(self, x: float, y: float) -> tuple[np.ndarray, np.ndarray]:
        """How far east (the short way round) and south of a position the pixels are."""
        return (self.x - x + 0.5) % 1 - 0.5, self.y - y


@dataclass(frozen=True)
class Frame:
    """A moment of the climate.

    Attributes:
        data: the channels, float32, shape (height, width, channels).
        labels: 0 background, 1 cyclone, 2 river, uint8, shape (height, width).
    """

    data: np.ndarray
    labels: np.ndarray


Fields = dict[str, np.ndarray]


def simulate(rng: np.random.Generator, height: int, width: int, channels: int) -> Frame:
    """One frame: 1 to 3 cyclones, 1 to 3 rivers, and decoys of each kind.

    Args:
        rng: of this frame alone.
        height, width: pixels.
        channels: how many of ``CHANNELS``, from the first.
    """
    grid = Grid(height, width)
    fields = _weather(rng, grid)
    labels = np.zeros((height, width), np.uint8)
    for _ in range(rng.integers(1, 4)):
        labels[_add_river(rng, grid, fields, moisture=True, wind=True)] = RIVER
    for _ in range(rng.integers(1, 4)):
        labels[_add_cyclone(rng, grid, fields)] = CYCLONE
    for _ in range(rng.integers(1, 4)):
        _add_blob(rng, grid, fields)
        _add_cold_low(rng, grid, fields)
    for _ in range(rng.integers(1, 3)):
        _add_river(rng, grid, fields, moisture=False, wind=True)
    mixtures = list(CHANNELS.values())[:channels]
    data = np.stack([_channel(rng, fields, each) for each in mixtures], axis=-1)
    return Frame(data.astype(np.float32), labels)


def _channel(rng: np.random.Generator, fields: Fields, mixture: Mixture) -> np.ndarray:
    field = fields[mixture.of]
    noise = mixture.noise * rng.standard_normal(field.shape)
    return mixture.factor * field + mixture.offset + noise


def _weather(rng: np.random.Generator, grid: Grid) -> Fields:
    """What is there without events: mean over each circle of latitude, and a random field."""
    latitude, from_equator = grid.latitude, np.abs(grid.latitude)

    def belt(centre: float, width: float, of: np.ndarray = from_equator) -> np.ndarray:
        return np.exp(-(((of - centre) / width) ** 2))

    tropics = belt(0, 25, latitude)
    means_and_deviations = {
        "TMQ": (5 + 40 * tropics, 5.0),
        "U850": (12 * belt(45, 15) - 6 * belt(0, 15, latitude), 4.0),
        "V850": (np.zeros_like(latitude), 3.0),
        "PSL": (1010 + 8 * belt(30, 12) - 15 * belt(62, 12), 4.0),
        "T200": (215 + 5 * tropics, 1.5),
        "T500": (238 + 30 * belt(0, 45, latitude), 1.5),
        "PRECT": (2 + 4 * belt(0, 10, latitude), 1.5),
    }
    return {
        name: mean + deviation * _random_field(rng, grid)
        for name, (mean, deviation) in means_and_deviations.items()
    }


def _random_field(rng: np.random.Generator, grid: Grid) -> np.ndarray:
    """A Gaussian field of mean 0 and variance 1, its amplitude as k^-1.5, shape (height, width)."""
    shape = (grid.height, grid.width)
    along_y = np.fft.fftfreq(grid.height, 1 / grid.width)[:, np.newaxis]
    k = np.hypot(along_y, np.fft.rfftfreq(grid.width, 1 / grid.width))
    k[0, 0] = np.inf
    field = np.fft.irfft2(np.fft.rfft2(rng.standard_normal(shape)) * k**SPECTRUM, shape)
    return field / field.std()


def _add_cyclone(rng: np.random.Generator, grid: Grid, fields: Fields) -> np.ndarray:
    """A tropical cyclone after Holland's profile, with a warm core; where its mask is."""
    hemisphere = rng.choice([-1.0, 1.0])
    centre = rng.random(), grid.y_at(hemisphere * rng.uniform(11, 36))
    radius = rng.uniform(0.012, 0.018)
    distance = _add_vortex(
        grid, fields, centre, radius, hemisphere, drop=rng.uniform(25, 60), wind=rng.uniform(30, 55)
    )
    core = np.exp(-((distance / (1.5 * radius)) ** 2))
    for name, amount in {"T200": 3.5, "T500": 3.0, "TMQ": 14.0, "PRECT": 20.0}.items():
        fields[name] += amount * core
    return distance < CYCLONE_EDGE * radius


def _add_cold_low(rng: np.random.Generator, grid: Grid, fields: Fields) -> None:
    """A decoy: a low of middle latitudes, wider than a tropical one, moist, its core cold."""
    hemisphere = rng.choice([-1.0, 1.0])
    centre = rng.random(), grid.y_at(hemisphere * rng.uniform(30, 62))
    radius = rng.uniform(0.014, 0.03)
    distance = _add_vortex(
        grid, fields, centre, radius, hemisphere, drop=rng.uniform(20, 45), wind=rng.uniform(20, 40)
    )
    core = np.exp(-((distance / (2 * radius)) ** 2))
    for name, amount in {"T200": -3.0, "T500": -3.5, "TMQ": 6.0, "PRECT": 8.0}.items():
        fields[name] += amount * core


def _add_vortex(
    grid: Grid,
    fields: Fields,
    centre: tuple[float, float],
    radius: float,
    hemisphere: float,
    *,
    drop: float,
    wind: float,
) -> np.ndarray:
    """Pressure and wind around a low (Holland 1980); the distance from its centre.

    Args:
        grid, fields: where to, and what to.
        centre: x and y.
        radius: where the wind is strongest.
        hemisphere: 1 for the north, where air turns anticlockwise, -1 for the south.
        drop: of the pressure, in hPa.
        wind: the strongest, in m / s.
    """
    east, south = grid.away(*centre)
    distance = np.maximum(np.hypot(east, south), 1e-6)
    ratio = (radius / distance) ** HOLLAND_B
    fields["PSL"] -= drop * (1 - np.exp(-ratio))
    speed = wind * np.sqrt(ratio * np.exp(1 - ratio)) * np.exp(-((distance / (6 * radius)) ** 2))
    fields["U850"] += hemisphere * speed * south / distance
    fields["V850"] += hemisphere * speed * east / distance
    return distance


def _add_blob(rng: np.random.Generator, grid: Grid, fields: Fields) -> None:
    """A decoy: moist and rainy, without wind, stretched in any direction."""
    east, south = grid.away(rng.random(), grid.y_at(rng.uniform(-45, 45)))
    angle = rng.uniform(0, np.pi)
    along = east * np.cos(angle) + south * np.sin(angle)
    across = south * np.cos(angle) - east * np.sin(angle)
    length, width = rng.uniform(0.02, 0.06), rng.uniform(0.012, 0.022)
    shape = np.exp(-((along / length) ** 2) - (across / width) ** 2)
    fields["TMQ"] += rng.uniform(14, 22) * shape
    fields["PRECT"] += rng.uniform(5, 20) * shape


def _add_river(
    rng: np.random.Generator, grid: Grid, fields: Fields, *, moisture: bool, wind: bool
) -> np.ndarray:
    """An atmospheric river, or with one of its signs a decoy; where its mask is.

    Its axis is a quadratic Bezier curve from the subtropics polewards and east.
    """
    hemisphere = rng.choice([-1.0, 1.0])
    start = np.array([rng.random(), grid.y_at(hemisphere * rng.uniform(12, 22))])
    length, slope = rng.uniform(0.24, 0.42), rng.uniform(0.3, 0.6)
    poleward = np.array([1.0, -hemisphere * slope]) * length / np.hypot(1, slope)
    bend = rng.uniform(-0.06, 0.06) * np.array([0.0, 1.0])
    distance, toward_x, toward_y = _from_curve(
        grid, start, start + poleward / 2 + bend, start + poleward
    )
    shape = np.exp(-((distance / rng.uniform(0.012, 0.02)) ** 2) / 2)
    strength = {"TMQ": rng.uniform(14, 22), "wind": rng.uniform(14, 22)}
    if moisture:
        fields["TMQ"] += strength["TMQ"] * shape
        fields["PRECT"] += 6 * shape
    if wind:
        fields["U850"] += strength["wind"] * shape * toward_x
        fields["V850"] -= strength["wind"] * shape * toward_y
    return shape > RIVER_EDGE


def _from_curve(
    grid: Grid, start: np.ndarray, middle: np.ndarray, end: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distance of the pixels from a Bezier curve, and its direction where it is nearest.

    Returns:
        The distance, and the direction's parts eastwards and southwards, (height, width) each.
    """
    nearest = np.full((grid.height, grid.width), np.inf)
    toward_x, toward_y = np.zeros_like(nearest), np.zeros_like(nearest)
    for t in np.linspace(0, 1, _AXIS_POINTS):
        point = (1 - t) ** 2 * start + 2 * t * (1 - t) * middle + t**2 * end
        tangent = (1 - t) * (middle - start) + t * (end - middle)
        east, south = grid.away(*point)
        squared = east**2 + south**2
        closer = squared < nearest
        nearest[closer] = squared[closer]
        toward_x[closer], toward_y[closer] = tangent / np.hypot(*tangent)
    return np.sqrt(nearest), toward_x, toward_y
