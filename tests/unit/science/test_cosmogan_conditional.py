"""CosmoGAN told the amplitude: what its networks make of it, and what counts as knowing it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import keras
import numpy as np
import pytest

from interactive_dl.bench.case import listing
from interactive_dl.data import Batches
from interactive_dl.science import cosmogan
from interactive_dl.science.cosmogan import LAPTOP, LAPTOP_CONDITIONAL, case, interpolation, metric
from interactive_dl.science.cosmogan.conditioning import Modulation, centred, projection
from interactive_dl.science.cosmogan.maps import log_normal
from interactive_dl.science.definition import Constant, commonest, missed

CONFIG = replace(LAPTOP_CONDITIONAL, train=90, val=600, test=800)
SIZE = "laptop_conditional"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return cosmogan.write_splits(CONFIG, tmp_path_factory.mktemp("maps"))


@dataclass(frozen=True)
class Universe:
    """A generator that knows how maps are made, of amplitudes that it makes of those asked for."""

    chosen: Callable[[np.ndarray], np.ndarray]
    changed: Callable[[np.ndarray], np.ndarray] = lambda maps: maps

    def predict(self, batches: Batches, /, *, verbose: int = 0) -> np.ndarray:
        asked = np.concatenate([x for x, _ in batches])[:, -1]
        rng = np.random.default_rng(1)
        chosen = self.chosen(asked)
        maps = np.array([log_normal(rng, CONFIG.size, CONFIG.cutoff, one) for one in chosen])
        for one in np.unique(asked):
            maps[asked == one] = self.changed(maps[asked == one])
        return cosmogan.encode(maps)[..., None]


def failures(universe: object, folder: Path) -> set[str]:
    scores = case.CASE.score(universe, CONFIG, folder)
    return {text.split()[0] for text in missed(case.CASE.proof(SIZE).gate, scores)}


def test_test_maps_have_amplitudes_that_nobody_trains_on(folder: Path) -> None:
    seen = {split: cosmogan.open(folder, split).arrays() for split in ("train", "val", "test")}
    for split, expected in (
        ("train", (0.2, 0.6, 1.0)),
        ("val", (0.2, 0.6, 1.0)),
        ("test", (0.4, 0.8)),
    ):
        pixels, amplitude = seen[split]
        by_amplitude = interpolation.apart(cosmogan.decode(pixels[..., 0]), amplitude)
        assert tuple(by_amplitude) == expected
        for one, maps in by_amplitude.items():
            assert interpolation.amplitude_of(maps) == pytest.approx(one, rel=0.15)


@pytest.mark.parametrize("held_out", [(0.6,), (0.1,), (1.0,), (0.4, 1.2)])
def test_amplitudes_that_are_not_between_those_trained_on_are_refused(held_out) -> None:
    with pytest.raises(ValueError, match="`held_out` must lie between the amplitudes trained on"):
        replace(LAPTOP_CONDITIONAL, held_out=held_out)


def test_who_knows_how_maps_depend_on_the_amplitude_passes(folder: Path) -> None:
    assert not failures(Universe(lambda asked: asked), folder)


def below(asked: np.ndarray) -> np.ndarray:
    return asked - 0.2


def above(asked: np.ndarray) -> np.ndarray:
    return asked + 0.2


def either(asked: np.ndarray) -> np.ndarray:
    return asked + np.where(np.arange(len(asked)) % 2, 0.2, -0.2)


def whatever(asked: np.ndarray) -> np.ndarray:
    return np.random.default_rng(2).choice(CONFIG.amplitudes, len(asked))


def middle(asked: np.ndarray) -> np.ndarray:
    return np.full(len(asked), 0.6)


@pytest.mark.parametrize("chosen", [below, above, middle, whatever])
def test_maps_of_points_trained_on_do_not_pass_between_them(chosen, folder: Path) -> None:
    told_by = {"amplitude", "histogram_of_neighbours", "spectrum_of_neighbours"}
    assert failures(Universe(chosen), folder) & told_by


def test_maps_of_both_neighbours_mixed_have_too_much_scatter(folder: Path) -> None:
    assert failures(Universe(either), folder) == {"scatter"}


@pytest.mark.parametrize(
    ("changed", "missing"), [(metric.shuffled, "spectrum"), (metric.gaussian, "histogram")]
)
def test_maps_right_in_one_respect_alone_do_not_pass_either(changed, missing, folder: Path) -> None:
    rng = np.random.default_rng(3)
    one_sided = Universe(lambda asked: asked, lambda maps: changed(rng, maps))
    assert failures(one_sided, folder) == {missing, f"{missing}_of_neighbours"}


def test_the_mean_map_for_all_that_is_asked_does_not_pass(folder: Path) -> None:
    truth = case.CASE.truth(cosmogan.open(folder, "train"))
    assert "variety" in failures(Constant(commonest(truth, truth.shape[1:])), folder)


def test_of_all_points_the_worst_counts() -> None:
    one = {"histogram": 0.1, "spectrum": 0.5, "variety": 0.9}
    other = {"histogram": 0.2, "spectrum": 0.4, "variety": 0.8}
    expected = {"histogram": 0.2, "spectrum": 0.5, "variety": 0.8}
    assert interpolation.worst([one, other]) == expected


def test_neighbours_are_the_nearest_on_either_side() -> None:
    assert interpolation.neighbours(0.8, (1.4, 0.2, 0.6, 1.0)) == (0.6, 1.0)


def test_amplitudes_are_centred_between_the_extremes() -> None:
    found = centred(LAPTOP_CONDITIONAL)(np.array([[0.2], [0.6], [0.8], [1.0]], "float32"))
    np.testing.assert_allclose(found, [[-1], [0], [0.5], [1]], atol=1e-6)


def test_a_modulation_begins_without_influence_and_scales_and_shifts_each_channel() -> None:
    features = np.random.default_rng(0).normal(size=(2, 3, 3, 2)).astype("float32")
    condition = np.array([[-1.0], [0.5]], "float32")
    layer = Modulation()
    np.testing.assert_allclose(layer([features, condition]), features)
    layer.set_weights([np.array([0.5, 2.0]), np.array([1.0, -3.0])])
    found = keras.ops.convert_to_numpy(layer([features, condition]))
    np.testing.assert_allclose(found[0], features[0] * [0.5, -1.0] + [-1.0, 3.0], rtol=1e-5)
    np.testing.assert_allclose(found[1], features[1] * [1.25, 2.0] + [0.5, -1.5], rtol=1e-5)


def test_a_projection_can_prefer_the_middle_of_three_points() -> None:
    features, condition = keras.Input((1,)), keras.Input((1,))
    fitting = projection(features, condition, keras.initializers.Zeros())
    model = keras.Model([features, condition], fitting)
    model.set_weights([np.array([[0.0], [-2.0]]), np.array([1.0])])
    conditions = np.array([[-1.0], [0.0], [1.0]], "float32")
    found = model([np.full((3, 1), 3.0, "float32"), conditions])
    np.testing.assert_allclose(found, [[-3.0], [3.0], [-3.0]])


def test_the_same_random_numbers_give_the_same_map_but_for_the_amplitude() -> None:
    keras.utils.set_random_seed(1)
    model = cosmogan.CosmoGAN(LAPTOP_CONDITIONAL)
    last = [layer for layer in model.generator.layers if isinstance(layer, Modulation)][-1]
    last.set_weights([np.array([0.5]), np.array([0.0])])
    latent = np.random.default_rng(0).standard_normal((1, LAPTOP_CONDITIONAL.latent))
    middle, largest, again = cosmogan.dream_from(
        model, LAPTOP_CONDITIONAL, np.repeat(latent, 3, axis=0), np.array([0.6, 1.0, 0.6])
    )
    np.testing.assert_allclose(again, middle, rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(largest, 1.5 * middle, rtol=1e-4, atol=1e-7)


def test_the_discriminator_judges_the_same_maps_by_what_they_are_said_to_be() -> None:
    keras.utils.set_random_seed(1)
    model = cosmogan.CosmoGAN(LAPTOP_CONDITIONAL)
    maps = cosmogan.encode(cosmogan.generate(LAPTOP, 4).kappa).astype("float32")[..., None]
    said = [
        keras.ops.convert_to_numpy(model.discriminator([maps, np.full((4, 1), one, "float32")]))
        for one in (0.2, 1.0)
    ]
    assert np.abs(said[0] - said[1]).min() > 0


def test_the_conditional_sizes_are_listed_with_their_gate() -> None:
    assert f"gate of {SIZE}: histogram <= 0.15" in listing()
    assert case.CASE.proof("laptop").gate == case.CASE.gate
    assert case.CASE.proof("full_conditional") == case.CASE.proof(SIZE)
