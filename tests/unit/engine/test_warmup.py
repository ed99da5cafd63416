"""The warm-up schedule: its values, and that it survives being saved inside a model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from interactive_dl.engine import WarmUp


def values(schedule: WarmUp, steps: int) -> list[float]:
    return [float(keras.ops.convert_to_numpy(schedule(step))) for step in range(steps)]


def test_a_constant_rate_is_reached_in_a_straight_line() -> None:
    schedule = WarmUp(0.8, warmup_steps=4, start_factor=0.25)
    np.testing.assert_allclose(values(schedule, 6), [0.2, 0.35, 0.5, 0.65, 0.8, 0.8], rtol=1e-6)


def test_a_decay_begins_at_its_own_first_step_once_the_warm_up_is_over() -> None:
    decay = keras.optimizers.schedules.ExponentialDecay(0.8, decay_steps=1, decay_rate=0.5)
    schedule = WarmUp(decay, warmup_steps=2)
    np.testing.assert_allclose(values(schedule, 5), [0.0, 0.4, 0.8, 0.4, 0.2], rtol=1e-6)


@pytest.mark.parametrize("decay", [0.5, keras.optimizers.schedules.CosineDecay(0.5, 10)])
def test_a_saved_model_keeps_its_warm_up(decay: Any, tmp_path: Path) -> None:
    schedule = WarmUp(decay, warmup_steps=3, start_factor=0.1)
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(schedule), "mse")
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras").optimizer._learning_rate
    assert isinstance(loaded, WarmUp)
    np.testing.assert_array_equal(values(loaded, 8), values(schedule, 8))


def test_a_warm_up_has_a_length() -> None:
    with pytest.raises(ValueError, match="`warmup_steps >= 1` must hold, but got 0"):
        WarmUp(0.1, warmup_steps=0)
