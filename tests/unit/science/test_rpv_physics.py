"""The simulation keeps the laws it should: energy, momentum, masses; jets and cuts."""

import numpy as np
import pytest

from interactive_dl.science.rpv import detector, events, kinematics, selection
from interactive_dl.science.rpv.selection import Jets


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.mark.parametrize("count", [2, 3, 5])
def test_the_products_of_a_decay_at_rest_have_its_mass_and_no_momentum(rng, count: int) -> None:
    products = kinematics.rambo(rng, count, 850.0)
    np.testing.assert_allclose(products.sum(axis=0), [850, 0, 0, 0], atol=1e-6)
    np.testing.assert_allclose(kinematics.masses(products), 0, atol=1e-3)


def test_a_two_body_decay_gives_both_products_their_masses(rng) -> None:
    products = kinematics.two_body(rng, 1400.0, 300.0, 850.0)
    np.testing.assert_allclose(products.sum(axis=0), [1400, 0, 0, 0], atol=1e-9)
    np.testing.assert_allclose(kinematics.masses(products), [300, 850], rtol=1e-9)


def test_a_boost_keeps_masses_and_takes_the_rest_to_its_frame(rng) -> None:
    frame = np.array([np.sqrt(500.0**2 + 300.0**2), 300.0, 0, 0])
    at_rest = np.array([[500.0, 0, 0, 0], [200.0, 0, 120.0, 160.0]])
    moving = kinematics.boost(at_rest, frame)
    np.testing.assert_allclose(moving[0], frame, rtol=1e-12)
    np.testing.assert_allclose(kinematics.masses(moving), [500, 0], atol=1e-4)


def test_coordinates_and_four_vectors_are_the_same_thing(rng) -> None:
    given = rng.uniform(20, 400, 9), rng.normal(0, 1, 9), rng.uniform(-3, 3, 9)
    back = kinematics.to_pt_eta_phi(kinematics.from_pt_eta_phi(*given))
    for before, after in zip(given, back, strict=True):
        np.testing.assert_allclose(after, before)


def test_shares_of_each_whole_add_up_to_one(rng) -> None:
    shares = kinematics.shares(rng, np.array([3, 1, 4]), 0.35)
    np.testing.assert_allclose([shares[:3].sum(), shares[3], shares[4:].sum()], 1)


def test_a_signal_event_is_two_gluinos_balanced_across_the_beam(rng) -> None:
    partons = events.signal(rng)
    assert partons.shape == (10, 4)
    np.testing.assert_allclose(partons[:, 1:3].sum(axis=0), 0, atol=1e-6)
    gluinos = np.stack([partons[:5].sum(axis=0), partons[5:].sum(axis=0)])
    np.testing.assert_allclose(kinematics.masses(gluinos), 1400, rtol=1e-6)


def test_background_is_as_hard_as_the_signal(rng) -> None:
    def hardness(kind) -> float:
        return float(np.median([np.hypot(*kind(rng)[:, 1:3].T).sum() for _ in range(300)]))

    assert hardness(events.background) == pytest.approx(hardness(events.signal), rel=0.15)


def test_energy_lands_where_the_partons_point(rng) -> None:
    parton = kinematics.from_pt_eta_phi(np.array([900.0]), np.array([1.25]), np.array([-np.pi / 2]))
    image = detector.image(rng, parton, 20)
    energy_gev = np.expm1(5 * image)
    assert energy_gev[14:17, 3:7].sum() == pytest.approx(900, rel=0.3)


def test_what_misses_the_detector_is_not_seen(rng) -> None:
    far = kinematics.from_pt_eta_phi(np.array([900.0]), np.array([5.0]), np.array([0.0]))
    assert np.expm1(5 * detector.image(rng, far, 20)).max() < 50


def test_the_amount_of_pile_up_varies_from_event_to_event(rng) -> None:
    far = kinematics.from_pt_eta_phi(np.array([900.0]), np.array([5.0]), np.array([0.0]))
    lit = [np.count_nonzero(detector.image(rng, far, 64)) for _ in range(50)]
    assert max(lit) > 3 * min(lit)


def test_a_cone_takes_all_partons_around_the_hardest(rng) -> None:
    partons = kinematics.from_pt_eta_phi(
        np.array([500.0, 300.0, 400.0]), np.array([0.0, 0.5, 0.0]), np.array([3.0, -3.0, 1.0])
    )
    assert len(selection.find_jets(rng, partons).pt_gev) == 2


def test_soft_and_forward_jets_do_not_count(rng) -> None:
    partons = kinematics.from_pt_eta_phi(
        np.array([500.0, 150.0, 400.0]), np.array([0.0, 0.0, 2.5]), np.array([0.0, 2.0, -2.0])
    )
    assert len(selection.find_jets(rng, partons).pt_gev) == 1


def jets(count: int, total_mass_gev: float, lead_gev: float = 600.0, apart: float = 0.5) -> Jets:
    pt_gev = np.array([lead_gev, *[300.0] * (count - 1)])
    eta = np.array([0.0, apart, *[0.0] * (count - 2)])
    return Jets(pt_gev, eta, np.full(count, total_mass_gev / min(count, 4)))


@pytest.mark.parametrize(
    ("event", "accepted"),
    [
        (jets(4, 850), True),
        (jets(4, 750), False),
        (jets(5, 650), True),
        (jets(5, 550), False),
        (jets(3, 2000), False),
        (jets(5, 650, lead_gev=430), False),
        (jets(5, 650, apart=1.5), False),
    ],
)
def test_the_cuts_accept_many_heavy_jets_close_in_eta(event: Jets, accepted: bool) -> None:
    assert selection.passes(event) is accepted
