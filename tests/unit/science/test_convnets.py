"""ConvNets: networks of the model zoo, and drawings of which only the shape tells the class."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from sklearn.linear_model import RidgeClassifier

from interactive_dl.bench import flops
from interactive_dl.science.convnets.case import CASE
from interactive_dl.science.convnets.config import LAPTOP
from interactive_dl.science.convnets.data import CIFAR_SPLITS, generate, open
from interactive_dl.science.convnets.images import draw
from interactive_dl.science.convnets.model import LocalResponseNormalization
from interactive_dl.science.definition import missed


@pytest.mark.parametrize(
    ("size", "giga_multiplications"), [("alexnet", 0.724), ("caffenet", 0.724), ("googlenet", 1.58)]
)
def test_an_image_costs_what_is_published(size: str, giga_multiplications: float) -> None:
    counted = flops.count(CASE.build_model(CASE.config(size)))
    assert counted.forward / 2e9 == pytest.approx(giga_multiplications, rel=5e-3)


def test_normalisation_over_channels_is_tensorflows() -> None:
    x = np.random.default_rng(0).normal(0, 30, (2, 3, 3, 7)).astype(np.float32)
    ours = LocalResponseNormalization(5, "pixel", alpha=0.1, beta=0.75)(x)
    theirs = tf.nn.local_response_normalization(x, 2, bias=1.0, alpha=0.1 / 5, beta=0.75)
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)


def test_normalisation_over_pixels_counts_what_is_outside_as_nothing() -> None:
    x = np.zeros((1, 4, 4, 2), np.float32)
    x[0, 0, 0, 1], x[0, 1, 1, 1] = 3, 6
    ours = np.asarray(LocalResponseNormalization(3, "channel", alpha=2.0, beta=1.0)(x))
    assert ours[0, 0, 0, 1] == pytest.approx(3 / (1 + 2 * 45 / 9))
    assert ours[0, 1, 1, 1] == pytest.approx(6 / (1 + 2 * 45 / 9))
    assert not ours[..., 0].any()


def test_a_network_is_saved_with_its_normalisation(tmp_path: Path) -> None:
    model = CASE.build_model(LAPTOP)
    model.save(tmp_path / "cifar.keras")
    x = generate(2, size=32, classes=10)[0].astype(np.float32)
    loaded = keras.models.load_model(tmp_path / "cifar.keras")
    np.testing.assert_allclose(loaded(x), model(x), rtol=1e-5)


def test_a_share_of_the_drawings_is_the_same_wherever_it_is_drawn() -> None:
    whole, part = (
        generate(6, size=16, classes=1000, seed=2),
        generate(2, size=16, classes=1000, seed=2, start=4),
    )
    for ours, theirs in zip(whole, part, strict=True):
        np.testing.assert_array_equal(ours[4:], theirs)


def test_the_drawings_of_a_seed_are_those_that_the_gate_was_measured_with() -> None:
    """Whoever changes the generator raises ``CASE.generator`` and measures the gate again."""
    images, labels = generate(6, size=32, classes=10)
    assert CASE.generator == 1
    assert labels.tolist() == [8, 5, 9, 5, 4, 6]
    np.testing.assert_allclose(images.mean(axis=(1, 2, 3)), [212, 178, 48, 79, 199, 167], atol=0.5)


def test_stripes_tell_classes_apart_from_the_tenth_on() -> None:
    plain, striped, slanted = (draw(np.random.default_rng(3), label, 64) for label in (4, 34, 534))
    assert (plain != striped).any()
    assert (striped != slanted).any()


def test_neither_pixels_nor_sums_give_the_class_away() -> None:
    (x, y), (x_test, y_test) = (
        generate(800, size=32, classes=10, start=start) for start in (0, 1 << 41)
    )

    def figures(images: np.ndarray) -> np.ndarray:
        values = images.astype(np.float64) / 255
        small = values.reshape(-1, 8, 4, 8, 4, 3).mean(axis=(2, 4)).reshape(len(values), -1)
        return np.hstack([small, values.std(axis=(1, 2)), values.mean(axis=(1, 2))])

    model = RidgeClassifier().fit(figures(x), y)
    assert model.score(figures(x_test), y_test) < 0.3


def test_files_of_cifar_10_are_read(tmp_path: Path) -> None:
    planes = np.random.default_rng(0).integers(0, 256, (2, 3, 32, 32), dtype=np.uint8)
    names = [name for files in CIFAR_SPLITS.values() for name in files]
    for number, name in enumerate(names):
        records = np.hstack([np.full((2, 1), number, np.uint8), planes.reshape(2, -1)])
        records.tofile(tmp_path / name)
    x, y = open(tmp_path, "train").arrays()
    assert y.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    np.testing.assert_array_equal(x[1, :, :, 2], planes[1, 2])
    assert open(tmp_path, "val").arrays()[1].tolist() == [4, 4]
    assert open(tmp_path, "test").arrays()[1].tolist() == [5, 5]


class Oracle:
    """Knows the truth of most samples."""

    def __init__(self, share: float) -> None:
        self.share = share

    def predict(self, batches, /, *, verbose: int = 0) -> np.ndarray:
        y = np.concatenate([batches[step][1] for step in range(batches.steps)])
        wrong = np.arange(len(y)) >= self.share * len(y)
        return np.eye(10)[(y + wrong) % 10]


@pytest.mark.parametrize(("share", "passes"), [(1.0, True), (0.81, True), (0.79, False)])
def test_the_gate_asks_for_four_right_answers_of_five(
    tmp_path: Path, share: float, passes: bool
) -> None:
    CASE.write(replace(LAPTOP, train=1, val=1, test=100), tmp_path, 0)
    metrics = CASE.score(Oracle(share), LAPTOP, tmp_path)
    assert (not missed(CASE.gate, metrics)) is passes
