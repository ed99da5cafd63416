"""Decays in epochs, against their formulas."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest

from interactive_dl import engine

PER_EPOCH = 4
PEAK = 0.8


def rates(schedule: Any, epochs: int) -> list[float]:
    steps = range(epochs * PER_EPOCH)
    return [float(keras.ops.convert_to_numpy(schedule(step))) for step in steps]


KINDS: dict[str, tuple[dict[str, Any], Callable[[float], float]]] = {
    "polynomial": ({"epochs": 6}, lambda e: max(0.0, 1 - (e - 2) / 4) ** 2),
    "cosine": (
        {"epochs": 6, "end": 0.1},
        lambda e: 0.1 + 0.9 * (1 + math.cos(math.pi * min(1, (e - 2) / 4))) / 2,
    ),
    "exponential": ({"rate": 0.5, "every": 2}, lambda e: 0.5 ** ((e - 2) / 2)),
    "step": (
        {"factors": {6: 0.125, 3: 0.25}},
        lambda e: 1.0 if e < 3 else 0.25 if e < 6 else 0.125,
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_decay_follows_its_formula_after_the_warm_up(kind: str) -> None:
    options, factor = KINDS[kind]
    schedule = engine.decay(
        PEAK, kind, steps_per_epoch=PER_EPOCH, warmup_epochs=2, warmup_start=0.25, **options
    )
    epochs = [step / PER_EPOCH for step in range(8 * PER_EPOCH)]
    expected = [PEAK * (0.25 + 0.75 * e / 2 if e < 2 else factor(e)) for e in epochs]
    np.testing.assert_allclose(rates(schedule, 8), expected, rtol=1e-5, atol=1e-7)
    kept = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(schedule))
    assert rates(kept, 8) == rates(schedule, 8)


def test_without_a_warm_up_it_begins_at_the_peak() -> None:
    schedule = engine.decay(
        PEAK, "exponential", steps_per_epoch=PER_EPOCH, rate=0.5, staircase=True
    )
    expected = [PEAK] * PER_EPOCH + [PEAK / 2] * PER_EPOCH
    np.testing.assert_allclose(rates(schedule, 2), expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("kind", "options", "says"),
    [
        ("linear", {}, "polynomial, cosine, exponential, step, but got 'linear'"),
        ("polynomial", {}, "polynomial decay cannot be made.*'epochs'"),
        ("cosine", {"epochs": 6, "power": 2}, "cosine decay cannot be made.*'power'"),
        ("cosine", {"epochs": 2}, "must end after the warm-up, but got epochs=2 with 2 of them"),
        ("step", {"factors": {1: 0.5}}, r"must begin after the warm-up, but got \{1: 0.5\}"),
    ],
)
def test_what_cannot_be_is_refused(kind: str, options: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        engine.decay(PEAK, kind, steps_per_epoch=PER_EPOCH, warmup_epochs=2, **options)
