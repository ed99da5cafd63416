"""CosmoGAN: maps with the spectrum they should have, what is measured in maps, two networks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from interactive_dl import data
from interactive_dl.errors import SourceNotFoundError, UnreadableSourceError
from interactive_dl.science import cosmogan
from interactive_dl.science.cosmogan import FULL_SIZE, LAPTOP, case, judging, metric
from interactive_dl.science.cosmogan.conditioning import Modulation
from interactive_dl.science.cosmogan.keep_best import KeepBest
from interactive_dl.science.cosmogan.model import CosmoGAN, adam
from interactive_dl.science.definition import missed
from interactive_dl.science.splits import SPLIT_START

TINY = replace(
    LAPTOP,
    size=8,
    train=32,
    val=8,
    test=8,
    latent=4,
    generator=(4, 2),
    discriminator=(2, 4),
    batch_size=8,
    epochs=2,
)
CONDITIONAL = replace(LAPTOP, amplitudes=(0.5, 0.8, 1.1))
TINY_CONDITIONAL = replace(TINY, amplitudes=CONDITIONAL.amplitudes)


@pytest.fixture(scope="module")
def real() -> np.ndarray:
    return cosmogan.generate(LAPTOP, 2000).kappa


def test_a_share_of_the_maps_is_the_same_wherever_it_is_generated() -> None:
    whole = cosmogan.generate(CONDITIONAL, 20, seed=3)
    end = cosmogan.generate(CONDITIONAL, 7, seed=3, start=13)
    np.testing.assert_array_equal(whole.kappa[13:], end.kappa)
    np.testing.assert_array_equal(whole.amplitude[13:], end.amplitude)
    assert not np.array_equal(cosmogan.generate(CONDITIONAL, 20, seed=4).kappa, whole.kappa)


def test_maps_have_no_mean_and_the_amplitude_they_should(real: np.ndarray) -> None:
    assert real.min() > -1
    assert real.mean() == pytest.approx(0, abs=0.01)
    for amplitude in (0.4, 0.8, 1.0):
        maps = cosmogan.generate(replace(LAPTOP, amplitudes=(amplitude,)), 1000).kappa
        assert np.log1p(maps).std() == pytest.approx(amplitude, rel=0.02)


def test_the_logarithm_of_a_map_has_the_spectrum_asked_for() -> None:
    config = replace(LAPTOP, size=32, cutoff=8.0)
    logarithm = np.log1p(cosmogan.generate(config, 1000).kappa)
    k = np.arange(2, 12)
    power = cosmogan.power_spectrum(logarithm)[k - 1]
    expected = k**-2.2 * np.exp(-((k / 8.0) ** 2))
    ratio = power / expected
    np.testing.assert_allclose(ratio / ratio.mean(), 1, atol=0.15)


def test_no_direction_of_a_map_is_special(real: np.ndarray) -> None:
    along_x = ((real[:, 1:] - real[:, :-1]) ** 2).mean()
    along_y = ((real[:, :, 1:] - real[:, :, :-1]) ** 2).mean()
    assert along_x == pytest.approx(along_y, rel=0.05)


@given(st.lists(st.floats(-0.999, 9), min_size=1))
def test_pixels_are_decoded_to_the_convergence_they_were(kappa: list[float]) -> None:
    np.testing.assert_allclose(
        cosmogan.decode(cosmogan.encode(np.array(kappa))), kappa, rtol=1e-9, atol=1e-12
    )


def test_written_splits_are_opened_by_name_and_share_no_map(tmp_path: Path) -> None:
    cosmogan.write_splits(TINY_CONDITIONAL, tmp_path)
    seen = set()
    for split in ("train", "val", "test"):
        count = getattr(TINY, split)
        expected = cosmogan.generate(TINY_CONDITIONAL, count, start=SPLIT_START[split])
        x, y = cosmogan.open(tmp_path, split).arrays()
        np.testing.assert_allclose(x[..., 0], cosmogan.encode(expected.kappa), rtol=1e-6)
        np.testing.assert_allclose(y, expected.amplitude, rtol=1e-6)
        seen |= {image.tobytes() for image in x}
    assert len(seen) == 32 + 8 + 8


def test_the_originals_file_is_read_without_amplitudes(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).uniform(-1, 1, (5, 8, 8)).astype(np.float32)
    np.save(tmp_path / "train.npy", pixels)
    opened = cosmogan.open(tmp_path, "train")
    x, y = opened.read(np.array([4, 0, 0]))
    np.testing.assert_array_equal(x[..., 0], pixels[[4, 0, 0]])
    assert x.shape == (3, 8, 8, 1)
    assert not y.any()


def test_a_file_that_is_missing_or_no_maps_is_told(tmp_path: Path) -> None:
    with pytest.raises(SourceNotFoundError, match=r"no file .*val.npy"):
        len(cosmogan.open(tmp_path, "val"))
    (tmp_path / "val.npy").write_bytes(b"half a file")
    with pytest.raises(UnreadableSourceError, match="cannot be read as an npy file"):
        len(cosmogan.open(tmp_path, "val"))
    np.save(tmp_path / "test.npy", np.zeros((3, 4)))
    with pytest.raises(UnreadableSourceError, match=r"shape \(maps, size, size\).*\(3, 4\)"):
        len(cosmogan.open(tmp_path, "test"))


def drawn(*rows: str) -> np.ndarray:
    return np.array([[[float(sign == "#") for sign in row] for row in rows]])


@pytest.mark.parametrize(
    ("picture", "area", "edges", "euler"),
    [
        (drawn("....", ".#..", "....", "...."), 1, 4, 1),
        (drawn("....", ".##.", "....", "...."), 2, 6, 1),
        (drawn("....", ".#..", "..#.", "...."), 2, 8, 1),
        (drawn("#..#", "....", "....", "#..#"), 4, 16, 4),
        (drawn("####", "#..#", "#..#", "####"), 12, 24, 0),
        (drawn("####", "####", "####", "####"), 16, 16, 1),
    ],
)
def test_minkowski_functionals_are_counted_as_by_hand(picture, area, edges, euler) -> None:
    found = cosmogan.minkowski(picture, np.array([0.5]))
    assert found.area == pytest.approx(area / 16)
    assert found.perimeter == pytest.approx(edges / 64)
    assert found.euler == pytest.approx(euler / 16)


def test_a_wave_has_its_power_at_its_wave_number() -> None:
    x = np.arange(16) / 16
    wave = np.broadcast_to(np.cos(2 * np.pi * 3 * x), (2, 16, 16))
    assert np.argmax(cosmogan.power_spectrum(wave)) == 3 - 1


def gate_missed(real: np.ndarray, generated: np.ndarray) -> set[str]:
    scores = metric.score(real, generated)
    return {text.split()[0] for text in missed(case.CASE.gate, scores)}


def test_other_real_maps_pass(real: np.ndarray) -> None:
    assert not gate_missed(real, cosmogan.generate(LAPTOP, 1000, start=SPLIT_START["test"]).kappa)


def test_shuffled_pixels_fool_the_histogram_alone(real: np.ndarray) -> None:
    shuffled = metric.shuffled(np.random.default_rng(0), real)
    assert gate_missed(real, shuffled) == {"spectrum"}


def test_gaussian_fields_fool_the_spectrum_alone(real: np.ndarray) -> None:
    gaussian = metric.gaussian(np.random.default_rng(0), real)
    assert gate_missed(real, gaussian) == {"histogram"}
    np.testing.assert_allclose(
        cosmogan.power_spectrum(gaussian), cosmogan.power_spectrum(real), rtol=0.1
    )


def test_minkowski_functionals_tell_either(real: np.ndarray) -> None:
    rng = np.random.default_rng(0)
    other = metric.score(real, cosmogan.generate(LAPTOP, 2000, start=5000).kappa)
    for fake in (metric.shuffled(rng, real), metric.gaussian(rng, real)):
        scores = metric.score(real, fake)
        assert scores["perimeter"] > 5 * other["perimeter"]
        assert scores["euler"] > 5 * other["euler"]


def test_one_map_over_and_over_has_no_variety(real: np.ndarray) -> None:
    for number in range(5):
        again = np.repeat(real[number : number + 1], 100, axis=0)
        assert "variety" in gate_missed(real, again)


def trainable(network: keras.Model) -> int:
    return sum(int(np.prod(one.shape)) for one in network.trainable_variables)


def test_networks_have_the_sizes_that_their_layers_add_up_to() -> None:
    model = CosmoGAN(FULL_SIZE)
    kernels = [25 * a * b + b for a, b in ((512, 256), (256, 128), (128, 64), (64, 1))]
    dense = 64 * 16 * 16 * 512 + 16 * 16 * 512
    assert trainable(model.generator) == dense + sum(kernels) + 2 * (512 + 256 + 128 + 64)
    kernels = [25 * a * b + b for a, b in ((1, 64), (64, 128), (128, 256), (256, 512))]
    dense = 16 * 16 * 512 + 1
    assert trainable(model.discriminator) == dense + sum(kernels) + 2 * (128 + 256 + 512)
    assert model.output_shape == (None, 256, 256, 1)


def compiled(config) -> CosmoGAN:
    keras.utils.set_random_seed(1)
    model = CosmoGAN(config)
    case.compile(model, config, lambda optimizer: optimizer)
    return model


@pytest.mark.parametrize("config", [TINY, TINY_CONDITIONAL], ids=["plain", "conditional"])
def test_a_step_updates_each_network_once_for_its_own_loss(config) -> None:
    maps = cosmogan.generate(config, 8)
    x, y = cosmogan.encode(maps.kappa).astype("float32")[..., None], maps.amplitude
    model = compiled(config)
    before = [network.get_weights() for network in (model.generator, model.discriminator)]
    told = model.train_on_batch(x, y.astype("float32"), return_dict=True)
    assert set(told) == {"loss", "generator_loss", "discriminator_loss"}
    assert told["loss"] == pytest.approx(told["generator_loss"] + told["discriminator_loss"])
    assert [int(model.optimizer.iterations), int(model.generator_optimizer.iterations)] == [1, 1]
    for network, old in zip((model.generator, model.discriminator), before, strict=True):
        moved = [np.abs(a - b).max() for a, b in zip(network.get_weights(), old, strict=True)]
        assert max(moved) > 0
    owned = {id(variable) for variable in model.discriminator.trainable_variables}
    known = model.optimizer._trainable_variables
    assert {id(variable) for variable in known} == owned


def looks_real(model: CosmoGAN, maps: np.ndarray) -> float:
    """Mean logit that the discriminator gives to maps, in the way it is trained."""
    return float(keras.ops.mean(model.discriminator(maps, training=True)))


def dreamt(model: CosmoGAN) -> np.ndarray:
    latent = np.random.default_rng(0).normal(size=(64, TINY.latent)).astype("float32")
    return keras.ops.convert_to_numpy(model.generator(latent, training=True))


def test_a_generator_alone_against_a_frozen_discriminator_looks_more_real() -> None:
    config = replace(TINY, flip=0.0)
    maps = cosmogan.encode(cosmogan.generate(config, 32).kappa).astype("float32")[..., None]
    model = compiled(config)
    model.run_eagerly = True
    model.optimizer.learning_rate = 0.0
    model.generator_optimizer.learning_rate = 5e-3
    before = looks_real(model, dreamt(model))
    for _ in range(25):
        model.train_on_batch(maps, np.zeros(32, "float32"))
    assert looks_real(model, dreamt(model)) > before


def test_a_discriminator_alone_learns_to_tell_real_from_generated() -> None:
    config = replace(TINY, flip=0.0)
    maps = cosmogan.encode(cosmogan.generate(config, 32).kappa).astype("float32")[..., None]
    model = compiled(config)
    model.run_eagerly = True
    model.optimizer.learning_rate = 5e-3
    model.generator_optimizer.learning_rate = 0.0
    for _ in range(40):
        told = model.train_on_batch(maps, np.zeros(32, "float32"), return_dict=True)
    assert told["discriminator_loss"] < 0.7 < 2 * np.log(2)
    assert looks_real(model, dreamt(model)) < 0 < looks_real(model, maps)


def test_swapped_labels_teach_a_discriminator_the_reverse() -> None:
    config = replace(TINY, flip=1.0)
    maps = cosmogan.encode(cosmogan.generate(config, 32).kappa).astype("float32")[..., None]
    model = compiled(config)
    model.run_eagerly = True
    model.optimizer.learning_rate = 5e-3
    model.generator_optimizer.learning_rate = 0.0
    for _ in range(40):
        model.train_on_batch(maps, np.zeros(32, "float32"))
    told = model.test_on_batch(maps, np.zeros(32, "float32"), return_dict=True)
    assert told["discriminator_loss"] > 2 * np.log(2)


def test_what_is_asked_for_changes_what_is_dreamt_up_only_where_the_networks_are_told() -> None:
    for config, differs in ((TINY, False), (TINY_CONDITIONAL, True)):
        model = compiled(config)
        for layer in model.generator.layers:
            if isinstance(layer, Modulation):  # as initialised it has no influence
                layer.set_weights([np.ones_like(weight) for weight in layer.get_weights()])
        one, other = (
            judging.dream(model, config, np.full(4, amplitude)) for amplitude in (0.5, 1.1)
        )
        assert (np.abs(one - other).max() > 0) == differs


def test_the_best_epochs_weights_are_kept() -> None:
    model = compiled(TINY)
    judgements = iter([3.0, 1.0, 2.0])
    keep = KeepBest(data.Alone, lambda model: next(judgements))
    keep.set_model(model)
    for epoch in range(3):
        for weight in model.weights:
            weight.assign(keras.ops.full_like(weight, epoch))
        keep.on_epoch_end(epoch)
    keep.on_train_end()
    assert {float(value.flat[0]) for value in model.generator.get_weights()} == {1.0}


def test_both_networks_and_optimizers_are_saved_and_loaded(tmp_path: Path) -> None:
    model = compiled(TINY)
    maps = cosmogan.encode(cosmogan.generate(TINY, 8).kappa).astype("float32")[..., None]
    model.train_on_batch(maps, np.zeros(8, "float32"))
    model.save(tmp_path / "gan.keras")
    again = keras.models.load_model(tmp_path / "gan.keras")
    latent = np.ones((2, TINY.latent), "float32")
    np.testing.assert_array_equal(
        again.predict(latent, verbose=0), model.predict(latent, verbose=0)
    )
    assert again.config == TINY
    assert int(again.generator_optimizer.iterations) == 1
    assert float(again.optimizer.beta_1) == adam(1e-3).beta_1


def test_a_trained_generator_passes_and_an_untrained_one_does_not(
    tmp_path: Path, record_property
) -> None:
    quick = replace(LAPTOP, val=512, test=1024, epochs=7)
    cosmogan.write_splits(quick, tmp_path)
    model = compiled(quick)
    assert missed(case.CASE.gate, judging.judge(model, quick, tmp_path))
    keep = KeepBest(
        data.Alone, lambda model: judging.badness(judging.judge(model, quick, tmp_path, "val"))
    )
    batches = cosmogan.open(tmp_path, "train").cached().shard(seed=1).batch(quick.batch_size)
    model.fit(batches, epochs=quick.epochs, verbose=0, callbacks=[keep])
    scores = judging.judge(model, quick, tmp_path)
    for name, value in scores.items():
        record_property(name, value)
    assert not missed(case.CASE.gate, scores), scores
