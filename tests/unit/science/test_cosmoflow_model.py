"""CosmoFlow's three networks and how they are judged; a gate that only learning passes."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

from interactive_dl import data
from interactive_dl.science import cosmoflow
from interactive_dl.science.cosmoflow import CMU, LAPTOP, MLPERF, SC18, case
from interactive_dl.science.cosmoflow.augmentation import Turned
from interactive_dl.science.cosmoflow.model import StandardisedError
from interactive_dl.science.decay import StepDecay
from interactive_dl.science.definition import missed
from interactive_dl.science.training import with_shuffled_labels

QUICK = replace(LAPTOP, train=1200, val=1, test=400, epochs=8, decay=((6, 0.3),))


def weights(model: keras.Model) -> int:
    """Trainable numbers but for biases and normalisation."""
    return sum(math.prod(one.shape) for one in model.trainable_variables if len(one.shape) > 1)


def test_the_paper_gives_the_bytes_of_its_networks_weights() -> None:
    model = cosmoflow.build_model(SC18)
    assert weights(model) * 4 / 1e6 == pytest.approx(28.15, abs=0.005)
    assert model.output_shape == (None, 3)


def test_the_cmu_groups_network_has_2_million_parameters() -> None:
    model = cosmoflow.build_model(CMU)
    normalisation = [layer for layer in model.layers if "normalization" in layer.name]
    own = sum(layer.count_params() for layer in normalisation)
    assert model.count_params() - own == 2_178_146
    assert len(normalisation) == 6


def test_mlperfs_network_reaches_beyond_the_ranges_of_the_parameters() -> None:
    config = replace(MLPERF, side=32)
    model = cosmoflow.build_model(config)
    model.layers[-2].set_weights([w * 0 + 50 for w in model.layers[-2].get_weights()])
    x = np.random.default_rng(0).poisson(1, (2, *config.input_shape)).astype("float32")
    np.testing.assert_allclose(np.abs(model.predict(x, verbose=0)), 1.2, rtol=1e-5)


@pytest.mark.parametrize("config", [CMU, SC18], ids=["cmu", "sc18"])
def test_a_network_of_z_scores_begins_in_the_middle_of_the_ranges(config) -> None:
    model = cosmoflow.build_model(config)
    answer = model.layers[-1](np.zeros((1, len(config.targets)), "float32"))
    middle = [(target.low + target.high) / 2 for target in config.targets]
    np.testing.assert_allclose(keras.ops.convert_to_numpy(answer)[0], middle, rtol=1e-6)


def test_the_ranges_are_those_of_the_published_z_scores() -> None:
    published = {"omega_m": (0.29957, 0.02905), "sigma_8": (0.86108, 0.04023)}
    for target in CMU.targets:
        mean, deviation = published[target.name]
        assert target.mean == pytest.approx(mean, rel=0.002)
        assert target.deviation == pytest.approx(deviation, rel=0.01)


def test_networks_see_counts_relative_to_the_mean() -> None:
    counts = np.random.default_rng(0).poisson(4, (2, 8, 8, 8, 1)).astype("float32")
    model = cosmoflow.build_model(replace(LAPTOP, particles=16, cells=8, side=8))
    seen = keras.ops.convert_to_numpy(model.layers[0](np.full((1, 8, 8, 8, 1), 8, "float32")))
    np.testing.assert_allclose(seen, 0, atol=1e-6)
    over_mean = keras.ops.convert_to_numpy(cosmoflow.build_model(CMU).layers[0](counts))
    np.testing.assert_allclose(over_mean.mean(axis=(1, 2, 3, 4)), 1, rtol=1e-5)


def test_a_network_is_saved_and_loaded(tmp_path: Path) -> None:
    config = replace(LAPTOP, cells=8, side=8)
    model = cosmoflow.build_model(config)
    case.compile(model, replace(config, variant="cmu"), lambda optimizer: optimizer)
    x = np.random.default_rng(0).poisson(4, (2, 8, 8, 8, 1)).astype("float32")
    model.save(tmp_path / "net.keras")
    again = keras.models.load_model(tmp_path / "net.keras")
    np.testing.assert_array_equal(again.predict(x, verbose=0), model.predict(x, verbose=0))
    assert again.loss.deviations == model.loss.deviations


def test_errors_are_counted_as_by_hand() -> None:
    truth = np.array([[0.0, 0.5], [1.0, -1.0]])
    scores = cosmoflow.score(LAPTOP, truth, truth + np.array([[0.1, -0.2], [0.1, 0.2]]))
    assert scores["mae"] == pytest.approx(0.15)
    assert scores["mae_omega_m"] == pytest.approx(0.1)
    assert scores["mae_sigma_8"] == pytest.approx(0.2)
    assert scores["relative_omega_m"] == pytest.approx((0.02 / 0.3 + 0.02 / 0.5) / 2)
    physical = np.array([[0.3, 0.86], [0.25, 0.93]])
    scores = cosmoflow.score(CMU, physical, physical + np.array([0.005, 0.0]))
    assert scores["mae_omega_m"] == pytest.approx(0.1)
    assert scores["relative_sigma_8"] == pytest.approx(0)


def test_the_loss_is_the_absolute_error_of_z_scores() -> None:
    loss = StandardisedError([0.5, 2.0])(np.array([[1.0, 1.0]]), np.array([[2.0, 3.0]]))
    assert float(loss) == pytest.approx((2 + 1) / 2)


def test_a_decay_is_relative_to_the_peak_whoever_has_changed_the_rate() -> None:
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.8), "mse")
    decay = StepDecay([(2, 0.5), (4, 0.25)])
    decay.set_model(model)
    rates = []
    for epoch in range(6):
        decay.on_epoch_begin(epoch)
        decay.on_epoch_begin(epoch)  # as when a rank is lost in it
        if epoch == 3:
            model.optimizer.learning_rate = float(model.optimizer.learning_rate) * 10
        rates.append(float(model.optimizer.learning_rate))
        decay.on_epoch_end(epoch)
    np.testing.assert_allclose(rates, [0.8, 0.8, 0.4, 4, 2, 2], rtol=1e-6)


@pytest.fixture(scope="module")
def universes(tmp_path_factory) -> Path:
    return cosmoflow.write_splits(QUICK, tmp_path_factory.mktemp("universes"))


def trained(samples: data.Dataset, epochs: int) -> keras.Model:
    keras.utils.set_random_seed(1)
    model = case.build_model(QUICK)
    case.compile(model, QUICK, lambda optimizer: optimizer)
    batches = samples.shard(seed=1).batch(QUICK.batch_size).map(Turned(1, QUICK.is_periodic))
    model.fit(batches, epochs=epochs, verbose=0, callbacks=[StepDecay(QUICK.decay)])
    return model


def gate_missed(model, folder: Path) -> tuple[str, ...]:
    return missed(case.CASE.gate, case.judge(model, QUICK, folder))


def test_a_trained_network_passes(universes: Path, record_property) -> None:
    model = trained(cosmoflow.open(universes, "train").cached(), QUICK.epochs)
    scores = case.judge(model, QUICK, universes)
    record_property("mae", scores["mae"])
    assert not missed(case.CASE.gate, scores), scores


def test_a_network_trained_on_shuffled_labels_fails(universes: Path) -> None:
    samples = with_shuffled_labels(cosmoflow.open(universes, "train").cached(), 0)
    assert gate_missed(trained(samples, epochs=3), universes)


def test_an_untrained_network_fails(universes: Path) -> None:
    assert gate_missed(case.build_model(QUICK), universes)


def test_moments_of_the_counts_do_not_give_the_answer_away(universes: Path) -> None:
    def features(x: np.ndarray) -> np.ndarray:
        logarithm = np.log1p(x.reshape(len(x), -1))
        moments = [logarithm.mean(axis=1), logarithm.std(axis=1), x.max(axis=(1, 2, 3, 4))]
        columns = np.stack(moments, axis=1)
        columns = (columns - columns.mean(axis=0)) / columns.std(axis=0)
        return np.column_stack([np.ones(len(x)), columns, columns**2])

    x, y = cosmoflow.open(universes, "train").arrays()
    test_x, test_y = cosmoflow.open(universes, "test").arrays()
    fitted, *_ = np.linalg.lstsq(features(x), y)
    error = np.abs(features(test_x) @ fitted - test_y).mean()
    assert error > 1.5 * case.MAE_GATE
