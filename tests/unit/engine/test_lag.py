"""Gradient lag in one process: its first step, its bound of stability, and its saved state."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest

from interactive_dl.engine import Lagged, Larc


def descend(rates_times_curvature: list[float], steps: int) -> list[np.ndarray]:
    """Gradient descent on quadratics, from 1; the weights after each step."""
    weight = keras.Variable(np.ones(len(rates_times_curvature), "float32"))
    curvature = np.array(rates_times_curvature, "float32")
    optimizer = Lagged(keras.optimizers.SGD(1.0))
    optimizer.build([weight])
    path = [np.ones_like(curvature)]
    for _ in range(steps):
        optimizer.apply([keras.ops.convert_to_tensor(path[-1] * curvature)], [weight])
        path.append(np.array(keras.ops.convert_to_numpy(weight.value)))
    return path[1:]


def test_each_update_takes_the_gradient_before() -> None:
    """By hand, with rate times curvature 0.5: w(t+1) = w(t) - 0.5 w(t-1)."""
    path = [float(value[0]) for value in descend([0.5], 5)]
    assert path == pytest.approx([1.0, 0.5, 0.0, -0.25, -0.25])


def test_it_is_stable_up_to_a_rate_of_one_over_the_curvature() -> None:
    inside, outside = np.abs(descend([0.95, 1.05], 400)[-20:]).max(axis=0)
    assert inside < 1e-3
    assert outside > 1e3


@pytest.mark.parametrize("rate", [1e-4, 0.1])
def test_larc_takes_the_ratio_of_the_weight_now_to_the_gradient_before(rate: float) -> None:
    """As in the climate study, by hand: v = m v + min(0.002 |w(t)| / |g(t-1)|, lr) g(t-1)."""
    generator = np.random.default_rng(2)
    weight = keras.Variable(generator.normal(size=(4, 3)))
    by_hand = np.array(keras.ops.convert_to_numpy(weight.value), "float64")
    sgd = keras.optimizers.SGD(rate, momentum=0.9)
    optimizer = Lagged(Larc(sgd, trust="larc-climate"))
    optimizer.build([weight])
    waiting, velocity = np.zeros_like(by_hand), 0.0
    for gradient in generator.normal(size=(5, 4, 3)).astype("float32"):
        optimizer.apply([keras.ops.convert_to_tensor(gradient)], [weight])
        size = np.linalg.norm(waiting)
        local = min(0.002 * np.linalg.norm(by_hand) / size, rate) if size else 0.0
        velocity = 0.9 * velocity + local * waiting
        by_hand, waiting = by_hand - velocity, gradient
    found = keras.ops.convert_to_numpy(weight.value)
    np.testing.assert_allclose(found, by_hand, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "inner",
    [
        lambda: keras.optimizers.Adam(1e-2),
        lambda: Larc(keras.optimizers.Adam(1e-2, epsilon=1e-2), weight_decay=1e-3),
    ],
    ids=["Adam", "LARC"],
)
def test_a_saved_model_goes_on_with_the_gradients_that_waited(
    tmp_path: Path, inner: Callable[[], keras.optimizers.Optimizer]
) -> None:
    x = np.random.default_rng(1).normal(size=(64, 5)).astype("float32")
    y = x @ np.ones((5, 1), "float32")
    model = keras.Sequential([keras.Input((5,)), keras.layers.Dense(1)])
    model.compile(Lagged(inner()), "mse")
    model.fit(x, y, shuffle=False, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.optimizer.get_config() == model.optimizer.get_config()
    for one in (model, loaded):
        one.fit(x, y, shuffle=False, verbose=0)
    for mine, theirs in zip(model.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_what_hands_gradients_on_is_not_wrapped() -> None:
    with pytest.raises(ValueError, match="Lagged wraps a plain Keras optimizer, but got LossScale"):
        Lagged(keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD()))


def test_the_lag_goes_around_larc_and_not_into_it() -> None:
    with pytest.raises(ValueError, match=r"but got Lagged\. Put Larc inside of Lagged"):
        Larc(Lagged(Larc(keras.optimizers.SGD())))
