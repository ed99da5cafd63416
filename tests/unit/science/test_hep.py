"""HEP: three channels, the benchmark's files, rates of layers, and a gate."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from interactive_dl.science import hep
from interactive_dl.science.definition import missed
from interactive_dl.science.hep.case import CASE
from interactive_dl.science.hep.config import LAPTOP
from interactive_dl.science.hep.data import generate, open, write_hdf5
from interactive_dl.science.hep.optimizer import LayerAdam, LayerSGD
from interactive_dl.science.rpv import detector, events


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The laptop's events, generated once for all tests."""
    folder = tmp_path_factory.mktemp("hep")
    CASE.write(replace(LAPTOP, val=2), folder, 0)
    return folder


def energy_gev(channel: np.ndarray) -> np.ndarray:
    return np.expm1(detector.LOG_SCALE * channel.astype(np.float64))


def test_both_calorimeters_together_see_what_one_would() -> None:
    partons = events.signal(np.random.default_rng(1))
    one = detector.image(np.random.default_rng(2), partons, 16)
    hadronic, electromagnetic, _ = detector.channels(np.random.default_rng(2), partons, 16)
    together = energy_gev(hadronic) + energy_gev(electromagnetic)
    np.testing.assert_allclose(together, energy_gev(one), rtol=1e-4, atol=1e-3)


def test_tracks_are_counted() -> None:
    partons = events.signal(np.random.default_rng(1))
    tracks = energy_gev(detector.channels(np.random.default_rng(2), partons, 16)[2])
    np.testing.assert_allclose(tracks, tracks.round(), atol=1e-3)
    assert tracks.sum() > 100


def test_a_share_of_the_events_is_the_same_wherever_it_is_generated() -> None:
    whole, part = generate(12, size=8, seed=3), generate(4, size=8, seed=3, start=8)
    np.testing.assert_array_equal(whole.data[8:], part.data)
    np.testing.assert_array_equal(whole.label[8:], part.label)
    np.testing.assert_array_equal(whole.psr[8:], part.psr)


def test_the_events_of_a_seed_are_those_that_the_gate_was_measured_with() -> None:
    """Whoever changes the generator raises ``CASE.generator`` and measures the gate again."""
    sample = generate(8, size=32)
    assert CASE.generator == 1
    assert sample.label.tolist() == [0, 0, 1, 0, 0, 1, 1, 1]
    np.testing.assert_allclose(sample.data.sum(axis=(0, 2, 3)), [403.13, 302.47, 191.13], rtol=1e-3)


def test_a_file_has_the_benchmarks_layout_whatever_the_size_of_a_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hep.data, "_BLOCK", 5)
    write_hdf5(tmp_path / "train.h5", 12, size=16, seed=4)
    made = generate(12, size=16, seed=4)
    with h5py.File(tmp_path / "train.h5") as file:
        shapes = {name: array.shape for name, array in file.items()}
        np.testing.assert_array_equal(file["data"][:], made.data)
        np.testing.assert_array_equal(file["psr"][:], made.psr)
        assert file["normweight"][:].mean() == pytest.approx(1)
        assert file["weight"][:].sum() == pytest.approx((14.36 + 117.3) * 100, rel=1e-4)
    scalars = dict.fromkeys(("label", "psr", "weight", "normweight"), (12,))
    assert shapes == {"data": (12, 3, 16, 16), **scalars}


def test_files_of_the_benchmark_are_read_channels_last(tmp_path: Path) -> None:
    images = np.arange(2 * 3 * 4 * 4, dtype=np.float32).reshape(2, 3, 4, 4)
    with h5py.File(tmp_path / "train.h5", "w") as file:
        file["data"], file["label"] = images, np.array([1.0, 0.0])
    x, y = open(tmp_path, "train").arrays()
    np.testing.assert_array_equal(x[1, :, :, 2], images[1, 2])
    assert (y.dtype, y.tolist()) == (np.int64, [1, 0])


@pytest.mark.parametrize("kind", [LayerSGD, LayerAdam])
def test_biases_learn_at_their_own_rate_also_after_saving(kind: type) -> None:
    made = kind(learning_rate=0.5, rates={"bias$": 2.0})
    optimizer = kind.from_config(made.get_config())
    weights = [keras.Variable(np.ones(1), name=name) for name in ("kernel", "bias")]
    optimizer.apply([np.ones(1, np.float32)] * 2, weights)
    np.testing.assert_allclose([float(each.numpy()[0]) for each in weights], [0.5, 0], atol=1e-5)


def test_only_kernels_decay() -> None:
    model = CASE.build_model(LAPTOP)
    CASE.compile(model, replace(LAPTOP, weight_decay=0.1, learning_rate=1.0), lambda same: same)
    kernel, bias = model.layers[0].weights
    bias.assign(np.ones(bias.shape))
    before = kernel.numpy()
    weights = model.trainable_weights
    model.optimizer.apply([np.zeros(each.shape, np.float32) for each in weights], weights)
    np.testing.assert_allclose(kernel.numpy(), 0.9 * before, rtol=1e-5)
    np.testing.assert_array_equal(bias.numpy(), 1)


def test_sums_over_the_channels_do_not_give_the_answer_away(folder: Path) -> None:
    def sums(split: str) -> tuple[np.ndarray, np.ndarray]:
        x, y = open(folder, split).arrays()
        amounts = energy_gev(x)
        figures = [amounts.sum(axis=(1, 2)), amounts.max(axis=(1, 2)), (x > 0).sum(axis=(1, 2))]
        columns = np.log1p(np.concatenate(figures, axis=1))
        return (columns - columns.mean(axis=0)) / columns.std(axis=0), y

    train, test = sums("train"), sums("test")
    model = LogisticRegression(max_iter=1000).fit(*train)
    assert roc_auc_score(test[1], model.decision_function(test[0])) < 0.75


def test_the_gate_opens_for_a_network_that_has_learned_only(folder: Path) -> None:
    keras.utils.set_random_seed(0)
    model = CASE.build_model(LAPTOP)
    CASE.compile(model, LAPTOP, lambda same: same)
    assert missed(CASE.gate, CASE.score(model, LAPTOP, folder))
    train = open(folder, "train").cached().shard(seed=0).batch(LAPTOP.batch_size)
    model.fit(train, epochs=LAPTOP.epochs, verbose=0)
    metrics = CASE.score(model, LAPTOP, folder)
    assert not missed(CASE.gate, metrics), metrics
