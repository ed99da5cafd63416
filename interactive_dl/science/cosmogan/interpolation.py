"""Whether maps at parameter points that nobody trained on are what they should be.

A generator that cannot interpolate may still give maps of the nearest point it knows, or some of
each neighbour's; either has every statistic nearly right where points lie close. So each statistic
is compared with what the neighbours' real maps would have scored, and the maps of one point with
each other. Sets of maps are given by amplitude, shape (maps, size, size) each.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from interactive_dl.science.cosmogan import metric

COMPARED = ("histogram", "spectrum", "area")
"""Those that change with the amplitude everywhere; the perimeter has a maximum."""


def apart(maps: np.ndarray, amplitude: np.ndarray) -> dict[float, np.ndarray]:
    """Maps, shape (maps, size, size), by their amplitude, shape (maps,), from the least.

    Of the amplitudes six digits are kept: files have them in single precision.
    """
    return {round(float(one), 6): maps[amplitude == one] for one in np.unique(amplitude)}


def score(
    real: Mapping[float, np.ndarray],
    generated: Mapping[float, np.ndarray],
    known: Mapping[float, np.ndarray],
) -> dict[str, float]:
    """Judge generated maps at held-out amplitudes.

    Args:
        real: maps at these amplitudes.
        generated: what was dreamt up for these amplitudes.
        known: real maps at the amplitudes trained on.

    Returns:
        The figures of ``metric.score``, the worst of all points. ``amplitude``: largest difference
        between an amplitude found in generated maps and the one asked for. ``scatter``: how much
        the generated maps of a point differ in power, over how much the real ones do, the largest;
        maps of both neighbours mixed have more than 1. ``histogram_of_neighbours`` and so on: a
        figure over that of the neighbours' real maps, the nearer one's, the largest; the maps of a
        neighbour have 1.
    """
    scores = {point: metric.score(maps, generated[point]) for point, maps in real.items()}
    return {
        **worst(list(scores.values())),
        "amplitude": max(abs(amplitude_of(generated[point]) - point) for point in real),
        "scatter": max(_scatter(generated[point]) / _scatter(maps) for point, maps in real.items()),
        **{
            f"{name}_of_neighbours": max(
                scores[point][name] / least
                for point, least in _of_neighbours(real, known, name).items()
            )
            for name in COMPARED
        },
    }


def worst(scores: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Of each figure of ``metric.score`` the worst: the least variety, else the largest."""
    return {
        name: (min if name == "variety" else max)(one[name] for one in scores) for name in scores[0]
    }


def neighbours(point: float, known: Collection[float]) -> tuple[float, float]:
    """The nearest amplitudes trained on, below and above."""
    return max(one for one in known if one < point), min(one for one in known if one > point)


def amplitude_of(maps: np.ndarray) -> float:
    """The amplitude that log-normal maps of this variance have."""
    return float(np.sqrt(np.log1p(maps.var())))


def _of_neighbours(
    real: Mapping[float, np.ndarray], known: Mapping[float, np.ndarray], name: str
) -> dict[float, float]:
    """By point, the smaller of the figures that its neighbours' real maps have there."""
    return {
        point: min(metric.score(maps, known[one])[name] for one in neighbours(point, known))
        for point, maps in real.items()
    }


def _scatter(maps: np.ndarray) -> float:
    return float(np.log(maps.var(axis=(1, 2))).std())
