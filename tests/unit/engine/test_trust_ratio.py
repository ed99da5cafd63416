"""LARS, LARC and LAMB against their formulas, written out in numpy."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from interactive_dl.engine import Lamb, Larc, Lars, TrustRatio
from interactive_dl.engine.trust_ratio import EXCLUDED, PRESETS, is_excluded, resolve

STEPS = 4
LR, DECAY, MOMENTUM = 0.7, 0.03, 0.9
EYE = 1e-5

Update = Callable[[np.ndarray, np.ndarray], np.ndarray]


def length(tensor: np.ndarray) -> Any:
    return np.linalg.norm(tensor.ravel())


def number(tensor: Any) -> float:
    return float(keras.ops.convert_to_numpy(tensor))


def test_the_same_on_torch() -> None:
    if keras.backend.backend() == "torch":
        return
    environment = {**os.environ, "KERAS_BACKEND": "torch", "CUDA_VISIBLE_DEVICES": ""}
    command = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:]


# -- the core --------------------------------------------------------------------------------------

TENSORS = npst.arrays(np.float32, (3, 2), elements=st.floats(-8, 8, width=16))


@given(weight=TENSORS, update=TENSORS, decay=st.floats(0, 0.5))
@settings(max_examples=60)
def test_the_norm_of_the_sum_never_gives_a_smaller_ratio(
    weight: np.ndarray, update: np.ndarray, decay: float
) -> None:
    if min(length(weight), length(update), length(update + decay * weight)) < 1e-2:
        return
    of_sum = number(TrustRatio(norms="norm_of_sum")(weight, update, decay))
    of_norms = number(TrustRatio(norms="sum_of_norms")(weight, update, decay))
    assert of_sum >= of_norms * (1 - 1e-4)


@given(weight=TENSORS, decay=st.floats(0, 0.5), factor=st.floats(0.1, 10))
@settings(max_examples=30)
def test_both_agree_where_update_and_weight_are_parallel(
    weight: np.ndarray, decay: float, factor: float
) -> None:
    if length(weight) < 1e-2:
        return
    ratios = [
        number(TrustRatio(norms=norms)(weight, factor * weight, decay))
        for norms in ("norm_of_sum", "sum_of_norms")
    ]
    assert ratios[0] == pytest.approx(ratios[1], rel=1e-4)


@given(weight=TENSORS, update=TENSORS, factor=st.floats(0.25, 4))
@settings(max_examples=30)
def test_a_step_is_as_long_however_the_loss_is_scaled(
    weight: np.ndarray, update: np.ndarray, factor: float
) -> None:
    if min(length(weight), length(update)) < 1e-2:
        return
    one = number(TrustRatio()(weight, update)) * length(update)
    other = number(TrustRatio()(weight, factor * update)) * length(factor * update)
    assert one == pytest.approx(other, rel=1e-3)
    assert one == pytest.approx(0.001 * length(weight), rel=1e-3)


def test_norms_as_the_deck_lists_them() -> None:
    """Table 2 of the "at scale" deck: conv1 5.76 of .098/.017, fc6 1345 of 6.4/.005 (rounded)."""
    weight, update = np.array([[0.098]], "float32"), np.array([[0.017]], "float32")
    assert number(PRESETS["lars-deck"](weight, update)) == pytest.approx(5.76, abs=0.01)
    weight, update = np.array([[6.4]], "float32"), np.array([[0.005]], "float32")
    assert number(PRESETS["lars-deck"](weight, update)) == pytest.approx(1345, rel=0.06)


@pytest.mark.parametrize("otherwise", [1.0, 1 / 16000])
def test_a_tensor_of_zeros_has_the_ratio_that_is_said(otherwise: float) -> None:
    zeros, ones = np.zeros((2, 2), "float32"), np.ones((2, 2), "float32")
    trust = TrustRatio(otherwise=otherwise)
    for weight, update in ((zeros, ones), (ones, zeros), (zeros, zeros)):
        assert number(trust(weight, update)) == pytest.approx(otherwise)


def test_phi_clips_the_norm_of_the_weight() -> None:
    weight, update = np.full((4,), 5.0, "float32"), np.full((4,), 0.5, "float32")
    assert number(TrustRatio(1.0)(weight, update)) == pytest.approx(10.0)
    assert number(TrustRatio(1.0, weight_norm_limits=(0, 3))(weight, update)) == pytest.approx(3.0)
    assert number(TrustRatio(1.0, weight_norm_limits=(20, 30))(weight, update)) == pytest.approx(20)


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="sum_of_norms, norm_of_sum, but got 'both'"):
        TrustRatio(norms="both")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"`coefficient > 0` must hold, but got 0"):
        TrustRatio(0)
    with pytest.raises(ValueError, match=r"`0 <= low <= high` must hold, but got \(2, 1\)"):
        TrustRatio(weight_norm_limits=(2, 1))
    with pytest.raises(ValueError, match="lars, lars-deck.*but got 'lors'"):
        resolve("lors")
    with pytest.raises(ValueError, match="classic, popular, but got 'new'"):
        Lars(momentum_form="new")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="clip, scale, but got 'cut'"):
        Larc("sgd", mode="cut")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"plain Keras optimizer, but got LossScaleOptimizer"):
        Larc(keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD()))


def test_names_of_bias_and_normalisation_are_excluded() -> None:
    for layer in (keras.layers.BatchNormalization(), keras.layers.RMSNormalization()):
        layer.build((None, 3))
        assert all(is_excluded(one, EXCLUDED) for one in layer.trainable_variables)
    dense = keras.layers.Dense(2, name="beta_decay")
    dense.build((None, 3))
    assert [is_excluded(one, EXCLUDED) for one in dense.trainable_variables] == [False, True]


# -- the optimizers --------------------------------------------------------------------------------


def kernel_and_bias() -> tuple[keras.Variable, keras.Variable]:
    layer = keras.layers.Dense(3)
    layer.build((None, 4))
    generator = np.random.default_rng(11)
    layer.kernel.assign(generator.normal(size=(4, 3)))
    layer.bias.assign(generator.normal(size=3))
    return layer.kernel, layer.bias


def gradients() -> Iterator[tuple[np.ndarray, np.ndarray]]:
    generator = np.random.default_rng(12)
    for _ in range(STEPS):
        yield generator.normal(size=(4, 3)).astype("f4"), generator.normal(size=3).astype("f4")


def trained(optimizer: keras.optimizers.Optimizer) -> tuple[np.ndarray, np.ndarray]:
    kernel, bias = kernel_and_bias()
    optimizer.build([kernel, bias])
    for pair in gradients():
        optimizer.apply([keras.ops.convert_to_tensor(one) for one in pair], [kernel, bias])
    return keras.ops.convert_to_numpy(kernel.value), keras.ops.convert_to_numpy(bias.value)


def by_hand(kernel_update: Update, bias_update: Update) -> tuple[np.ndarray, np.ndarray]:
    """Each update gives what is to be taken away, of weight and gradient; float64."""
    kernel, bias = (np.array(keras.ops.convert_to_numpy(v.value), "f8") for v in kernel_and_bias())
    for kernel_gradient, bias_gradient in gradients():
        kernel = kernel - kernel_update(kernel, kernel_gradient)
        bias = bias - bias_update(bias, bias_gradient)
    return kernel, bias


class Momentum:
    """``v <- m v + step``, with the rate inside."""

    def __init__(self, step: Update, nesterov: bool = False) -> None:
        self.step, self.nesterov, self.velocity = step, nesterov, 0.0

    def __call__(self, w: np.ndarray, g: np.ndarray) -> Any:
        step = self.step(w, g)
        self.velocity = MOMENTUM * self.velocity + step
        return MOMENTUM * self.velocity + step if self.nesterov else self.velocity


def plain_step(_w: np.ndarray, g: np.ndarray) -> np.ndarray:
    return LR * g


def lars_step(w: np.ndarray, g: np.ndarray) -> Any:
    ratio = 0.001 * length(w) / (length(g) + DECAY * length(w))
    return LR * ratio * (g + DECAY * w)


def lars_deck_step(w: np.ndarray, g: np.ndarray) -> Any:
    return 1000 * lars_step(w, g)


def lars_tensorflow_step(w: np.ndarray, g: np.ndarray) -> Any:
    decayed = g + DECAY * w
    return LR * 0.001 * length(w) / length(decayed) * decayed


def assert_same(one: tuple[np.ndarray, ...], other: tuple[np.ndarray, ...]) -> None:
    for mine, theirs in zip(one, other, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=EYE, atol=EYE)


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize(
    ("preset", "step"),
    [
        ("lars", lars_step),
        ("lars-deck", lars_deck_step),
        ("lars-tensorflow", lars_tensorflow_step),
    ],
)
def test_lars_by_hand(preset: str, step: Update, nesterov: bool) -> None:
    optimizer = Lars(LR, MOMENTUM, DECAY, trust=preset, nesterov=nesterov)
    expected = by_hand(Momentum(step, nesterov), Momentum(plain_step, nesterov))
    assert_same(trained(optimizer), expected)


def test_lars_without_momentum_by_hand() -> None:
    optimizer = Lars(LR, 0.0, DECAY)
    assert_same(trained(optimizer), by_hand(lars_step, plain_step))


@pytest.mark.parametrize("nesterov", [False, True])
def test_lars_with_popular_momentum_by_hand(nesterov: bool) -> None:
    """As TensorFlow's model garden does without ``classic_momentum``."""
    averaged = Momentum(lambda w, g: g + DECAY * w, nesterov)

    def kernel(w: np.ndarray, g: np.ndarray) -> Any:
        update = averaged(w, g)
        return LR * 0.001 * length(w) / length(update) * update

    plain = Momentum(lambda w, g: g, nesterov)
    optimizer = Lars(
        LR, MOMENTUM, DECAY, trust="lars-tensorflow", momentum_form="popular", nesterov=nesterov
    )
    assert_same(trained(optimizer), by_hand(kernel, lambda w, g: LR * plain(w, g)))


@pytest.mark.parametrize("mode", ["clip", "scale"])
def test_larc_of_apex_by_hand(mode: Any) -> None:
    def adapted(w: np.ndarray, g: np.ndarray) -> Any:
        ratio = 0.02 * length(w) / (length(g) + DECAY * length(w) + 1e-8)
        factor = min(ratio / 0.005, 1) if mode == "clip" else ratio
        return 0.005 * (g + DECAY * w) * factor

    inner = keras.optimizers.SGD(0.005, momentum=MOMENTUM)
    optimizer = Larc(inner, mode=mode, weight_decay=DECAY)
    plain = Momentum(lambda w, g: 0.005 * g)
    assert_same(trained(optimizer), by_hand(Momentum(adapted), plain))


@pytest.mark.parametrize("mode", ["clip", "scale"])
def test_larc_leaves_a_weight_without_a_gradient_alone_as_apex_does(mode: Any) -> None:
    kernel, _ = kernel_and_bias()
    before = np.array(kernel)
    optimizer = Larc(keras.optimizers.SGD(0.1), mode=mode, weight_decay=DECAY)
    optimizer.apply([keras.ops.zeros_like(kernel)], [kernel])
    np.testing.assert_array_equal(np.array(kernel), before)


@pytest.mark.parametrize("rate", [1e-4, 0.1])
def test_larc_of_the_climate_study_by_hand(rate: float) -> None:
    """Its clipping: the local rate is the smaller of ratio and learning rate."""

    def adapted(w: np.ndarray, g: np.ndarray) -> Any:
        return min(0.002 * length(w) / length(g), rate) * g

    optimizer = Larc(keras.optimizers.SGD(rate), trust="larc-climate")
    assert_same(trained(optimizer), by_hand(adapted, lambda w, g: rate * g))


class Adam:
    """``m_hat / (sqrt(v_hat) + epsilon)``."""

    def __init__(self, epsilon: float) -> None:
        self.epsilon, self.step, self.first, self.second = epsilon, 0, 0.0, 0.0

    def __call__(self, g: np.ndarray) -> Any:
        self.step += 1
        self.first = 0.9 * self.first + 0.1 * g
        self.second = 0.999 * self.second + 0.001 * g**2
        mean, square = self.first / (1 - 0.9**self.step), self.second / (1 - 0.999**self.step)
        return mean / (np.sqrt(square) + self.epsilon)


@pytest.mark.parametrize("limits", [None, (0.0, 1.5)])
def test_lamb_by_hand(limits: Any) -> None:
    kernel, bias = Adam(1e-6), Adam(1e-6)
    low, high = limits or (0.0, np.inf)

    def adapted(w: np.ndarray, g: np.ndarray) -> Any:
        update = kernel(g) + DECAY * w
        return LR * np.clip(length(w), low, high) / length(update) * update

    trust = TrustRatio(1.0, "norm_of_sum", weight_norm_limits=limits)
    expected = by_hand(adapted, lambda w, g: LR * bias(g))
    assert_same(trained(Lamb(LR, DECAY, trust=trust)), expected)


@pytest.mark.parametrize("decay", [None, DECAY])
def test_lamb_can_be_that_of_keras(decay: float | None) -> None:
    ours = Lamb(LR, decay, epsilon=1e-7, decoupled_weight_decay=True, exclude=())
    theirs = keras.optimizers.Lamb(LR, epsilon=1e-7, weight_decay=decay)
    assert_same(trained(ours), trained(theirs))


@pytest.mark.parametrize("kind", [Lars, Lamb])
def test_nothing_needs_to_be_excluded(kind: Any) -> None:
    one = trained(kind(LR, weight_decay=DECAY))
    other = trained(kind(LR, weight_decay=DECAY, exclude=()))
    np.testing.assert_array_equal(one[0], other[0])
    assert np.abs(one[1] - other[1]).max() > 0.1


def test_larc_takes_accumulated_and_clipped_gradients() -> None:
    inner = keras.optimizers.SGD(0.1, gradient_accumulation_steps=2, clipnorm=0.5)
    optimizer = Larc(inner, trust=TrustRatio(0.02), mode="scale")
    pending: list[np.ndarray] = []

    def clipped(g: np.ndarray) -> np.ndarray | None:
        pending.append(g)
        if len(pending) < 2:
            return None
        mean = sum(pending) / 2
        pending.clear()
        return mean * min(1.0, 0.5 / length(mean))

    def adapted(w: np.ndarray, g: np.ndarray) -> Any:
        gradient = clipped(g)
        return 0.0 if gradient is None else 0.1 * 0.02 * length(w) / length(gradient) * gradient

    kernel, _ = trained(optimizer)
    expected, _ = by_hand(adapted, lambda w, g: 0 * g)
    np.testing.assert_allclose(kernel, expected, rtol=EYE, atol=EYE)


# -- as part of Keras ------------------------------------------------------------------------------

OPTIMIZERS: dict[str, Callable[[], keras.optimizers.Optimizer]] = {
    "lars": lambda: Lars(2.0, 0.8, 1e-3, trust="lars-tensorflow", nesterov=True, exclude=("b$",)),
    "popular lars": lambda: Lars(2.0, momentum_form="popular"),
    "larc": lambda: Larc(keras.optimizers.Adam(1e-2), trust="larc-climate", weight_decay=1e-3),
    "lamb": lambda: Lamb(1e-2, 1e-3, trust=TrustRatio(1.0, weight_norm_limits=(0.0, 10.0))),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_saved_model_goes_on_as_the_one_that_was_saved(name: str, tmp_path: Path) -> None:
    x = np.random.default_rng(1).normal(size=(64, 5)).astype("float32")
    y = x @ np.ones((5, 1), "float32")
    model = keras.Sequential([keras.Input((5,)), keras.layers.Dense(4), keras.layers.Dense(1)])
    model.compile(OPTIMIZERS[name](), "mse")
    model.fit(x, y, shuffle=False, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert type(loaded.optimizer) is type(model.optimizer)
    assert loaded.optimizer.get_config() == model.optimizer.get_config()
    for one in (model, loaded):
        one.fit(x, y, shuffle=False, verbose=0)
    for mine, theirs in zip(model.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize("name", ["larc", "lamb"])
def test_an_embedding_is_trained(name: str) -> None:
    """TensorFlow gives its gradient as slices."""
    model = keras.Sequential(
        [
            keras.Input((3,), dtype="int32"),
            keras.layers.Embedding(7, 2),
            keras.layers.Flatten(),
            keras.layers.Dense(1),
        ]
    )
    model.compile(OPTIMIZERS[name](), "mse")
    before = model.get_weights()[0]
    x = np.random.default_rng(1).integers(0, 7, (32, 3))
    model.fit(x, np.ones((32, 1)), verbose=0)
    assert np.abs(model.get_weights()[0] - before).max() > 1e-6
