"""The universes keep the laws they should: spectrum, growth, isotropy, what gravity moves."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interactive_dl.science.cosmoflow import Cosmology, structure

UNIVERSES = st.builds(
    Cosmology,
    omega_m=st.floats(0.1, 0.9),
    sigma_8=st.floats(0.3, 1.3),
    n_s=st.floats(0.7, 1.2),
    h=st.floats(0.5, 0.9),
)
BOX = 256.0
CELLS = 32


def transformed(field: np.ndarray) -> np.ndarray:
    return np.fft.rfftn(field)


def plane(number: int, axis: int, cells: int = CELLS) -> np.ndarray:
    """A cosine of ``number`` periods along an axis, shape (cells,) * 3."""
    phase = 2 * np.pi * number * (np.arange(cells) + 0.5) / cells
    shape = [1, 1, 1]
    shape[axis] = cells
    return np.broadcast_to(np.cos(phase).reshape(shape), (cells,) * 3)


@given(UNIVERSES)
@settings(max_examples=50)
def test_the_spectrum_has_the_variance_that_sigma_8_says(universe: Cosmology) -> None:
    assert universe.variance(8.0) == pytest.approx(universe.sigma_8**2)
    assert universe.variance(16.0) < universe.sigma_8**2


@given(UNIVERSES)
@settings(max_examples=50)
def test_long_waves_keep_the_primordial_tilt(universe: Cosmology) -> None:
    long, longer = universe.power(np.array([1e-5, 1e-6]))
    assert np.log10(long / longer) == pytest.approx(universe.n_s, abs=0.01)
    assert universe.power(np.zeros(1)) == 0


def test_the_spectrum_bends_where_matter_began_to_rule() -> None:
    k = np.geomspace(1e-4, 10, 400)
    peaks = [k[np.argmax(Cosmology(omega_m=omega_m).power(k))] for omega_m in (0.15, 0.3, 0.45)]
    assert peaks == sorted(peaks)
    assert 0.01 < peaks[1] < 0.025


def test_structure_grows_as_the_scale_factor_in_a_universe_of_matter_alone() -> None:
    matter = Cosmology(omega_m=1.0)
    for z in (0.0, 0.5, 3.0):
        assert matter.growth(z) == pytest.approx(1 / (1 + z), rel=1e-3)


@given(UNIVERSES, st.floats(0.01, 5))
@settings(max_examples=50)
def test_a_cosmological_constant_makes_structure_older(universe: Cosmology, z: float) -> None:
    assert 1 / (1 + z) < universe.growth(z) < 1
    assert universe.omega_m <= universe.omega_m_at(z) < 1


def test_a_field_has_the_spectrum_it_was_made_with() -> None:
    universe, k = Cosmology(), structure.Waves(CELLS, BOX)
    powers = [
        np.abs(structure.linear_density(np.random.default_rng(seed), universe, k)) ** 2
        for seed in range(20)
    ]
    measured = np.mean(powers, axis=0) * BOX**3 / CELLS**6
    for low, high in ((0.05, 0.1), (0.1, 0.2), (0.2, 0.35)):
        within = (k.length > low) & (k.length < high)
        ratio = (measured[within] / universe.power(k.length[within])).mean()
        assert ratio == pytest.approx(1, abs=0.05)


def test_displacements_prefer_no_direction() -> None:
    universe, k = Cosmology(), structure.Waves(CELLS, BOX)
    squares = np.zeros(3)
    for seed in range(40):
        density = structure.linear_density(np.random.default_rng(seed), universe, k)
        squares += (structure.displacements(density, k, 1).first ** 2).mean(axis=(1, 2, 3))
    np.testing.assert_allclose(squares / squares.mean(), 1, atol=0.1)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_matter_moves_towards_where_there_is_more_of_it(axis: int) -> None:
    k = structure.Waves(CELLS, BOX)
    moved = structure.displacements(transformed(0.1 * plane(2, axis)), k, 1).first
    phase = 2 * np.pi * 2 * (np.arange(CELLS) + 0.5) / CELLS
    expected = -0.1 * np.sin(phase) / (2 * np.pi * 2 / BOX)
    np.testing.assert_allclose(np.moveaxis(moved[axis], axis, 0)[:, 3, 5], expected, atol=1e-9)
    for other in {0, 1, 2} - {axis}:
        np.testing.assert_allclose(moved[other], 0, atol=1e-9)


@pytest.mark.parametrize("periods", [(0, 2, 0), (1, 2, 0), (1, -1, 2)])
def test_the_second_order_adds_nothing_to_a_single_plane_wave(periods) -> None:
    k = structure.Waves(CELLS, BOX)
    cells = np.indices((CELLS,) * 3) / CELLS
    wave = np.cos(2 * np.pi * np.tensordot(periods, cells, axes=1))
    second = structure.displacements(transformed(0.1 * wave), k, 2).second
    np.testing.assert_allclose(second, 0, atol=1e-9)


def test_two_crossed_plane_waves_move_to_second_order_as_by_hand() -> None:
    k = structure.Waves(CELLS, BOX)
    field = 0.1 * (plane(1, 0) + plane(1, 1))
    second = structure.displacements(transformed(field), k, 2).second
    wave_number = 2 * np.pi / BOX
    phase = wave_number * (np.arange(CELLS) + 0.5) * BOX / CELLS
    expected = -(0.1**2) / (2 * wave_number) * np.outer(np.sin(phase), np.cos(phase))
    np.testing.assert_allclose(second[0][:, :, 4], expected, atol=1e-9)


def test_other_orders_are_refused() -> None:
    k = structure.Waves(CELLS, BOX)
    with pytest.raises(ValueError, match=r"1 \(Zel'dovich\) or 2 \(2LPT\), but got 3"):
        structure.displacements(transformed(plane(1, 0)), k, 3)


def test_particles_that_did_not_move_fill_all_cells_alike() -> None:
    still = structure.Displacements(np.zeros((3, 8, 8, 8)), None)
    where = structure.positions(still, Cosmology(), 0.0, BOX)
    assert (structure.counts(where, 4, BOX) == 8).all()


def test_a_particle_that_leaves_the_box_comes_back_on_the_other_side() -> None:
    moved = np.zeros((3, 2, 2, 2))
    moved[0, 1, 0, 0] = BOX / 2
    where = structure.positions(structure.Displacements(moved, None), Cosmology(), 0.0, BOX)
    counts = structure.counts(where, 2, BOX)
    assert counts[0, 0, 0] == 2
    assert counts[1, 0, 0] == 0
    assert counts.sum() == 8


@pytest.mark.parametrize("order", [1, 2])
def test_matter_clumps_as_time_goes_by(order: int) -> None:
    k = structure.Waves(CELLS, BOX)
    density = structure.linear_density(np.random.default_rng(0), Cosmology(), k)
    moved = structure.displacements(density, k, order)
    contrast = [
        structure.counts(structure.positions(moved, Cosmology(), z, BOX), 16, BOX).std()
        for z in (3.0, 1.5, 0.5, 0.0)
    ]
    assert contrast == sorted(contrast)
    assert contrast[-1] > 1.5 * contrast[0]
