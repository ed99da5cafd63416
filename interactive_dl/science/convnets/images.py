"""Drawings by the number: what to classify is a shape, and from 10 classes on its stripes."""

from __future__ import annotations

import numpy as np

_SLANTS = 10


def draw(rng: np.random.Generator, label: int, size: int) -> np.ndarray:
    """A flower of 2 to 6 petals, whole or hollow, striped, before a noisy background.

    Place, size, direction and colours vary, so that no sum over the image tells the class.

    Args:
        rng: random numbers.
        label: 0 to 999; its digits are the shape, the number of stripes and their slant.
        size: pixels in height and width.

    Returns:
        uint8, shape (size, size, 3), red, green and blue.
    """
    shape, wave, slant = label % 10, label // 10 % 10, label // 100 % 10
    petals, hollow = 2 + shape % 5, shape >= 5
    radius = rng.uniform(0.28, 0.4)
    centre = rng.uniform(radius, 1 - radius, 2)
    turn = rng.uniform(0, 2 * np.pi)
    y, x = (np.mgrid[:size, :size] + 0.5) / size - centre[:, None, None]
    distance, angle = np.hypot(y, x), np.arctan2(y, x) - turn
    edge = radius * (0.65 + 0.35 * np.cos(petals * angle))
    inside = _soft(edge - distance, size)
    if hollow:
        inside = inside * _soft(distance - 0.55 * edge, size)
    along = distance * np.cos(angle + slant * np.pi / _SLANTS)
    stripes = 0.75 + 0.25 * np.cos(2 * np.pi * wave * along / radius)
    ink, paper = _colours(rng)
    picture = paper + (inside * stripes)[..., None] * (ink - paper)
    noisy = picture + rng.normal(0, 0.08, (size, size, 3))
    return (255 * np.clip(noisy, 0, 1)).astype(np.uint8)


def _soft(depth: np.ndarray, size: int) -> np.ndarray:
    """1 within, 0 without, over the width of a pixel."""
    return np.clip(0.5 + depth * size, 0, 1)


def _colours(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Two colours that differ well in brightness, either of them the brighter one; shape (3,)."""
    dark, bright = rng.uniform(0, 0.4, 3), rng.uniform(0.6, 1, 3)
    return (dark, bright) if rng.random() < 0.5 else (bright, dark)
