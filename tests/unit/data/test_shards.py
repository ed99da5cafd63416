"""Shards: complete, disjoint, even, and the same number of steps on every rank."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from interactive_dl.data.shards import StepPlan, epoch_order
from interactive_dl.errors import TooFewSamplesError


@st.composite
def plans(draw: st.DrawFn) -> StepPlan:
    ranks = draw(st.integers(1, 9))
    return StepPlan(draw(st.integers(ranks, 400)), ranks, draw(st.integers(1, 40)))


def positions(part: slice) -> range:
    return range(part.start, part.stop)


@given(plans())
def test_an_epoch_gives_every_sample_to_exactly_one_rank(plan: StepPlan) -> None:
    taken = [
        position
        for step in range(plan.steps)
        for rank in range(plan.ranks)
        for position in positions(plan.share(step, rank))
    ]
    assert taken == list(range(plan.samples))


@given(plans())
def test_no_rank_has_a_step_without_a_sample(plan: StepPlan) -> None:
    assert plan.steps >= 1
    for step in range(plan.steps):
        assert all(len(positions(plan.share(step, rank))) for rank in range(plan.ranks))


@given(plans())
def test_the_shares_of_a_step_differ_by_at_most_one_sample(plan: StepPlan) -> None:
    for step in range(plan.steps):
        sizes = {len(positions(plan.share(step, rank))) for rank in range(plan.ranks)}
        assert max(sizes) - min(sizes) <= 1


@given(plans())
def test_every_step_but_the_last_is_full_and_no_batch_is_more_than_one_sample_larger(
    plan: StepPlan,
) -> None:
    for step in range(plan.steps):
        for rank in range(plan.ranks):
            size = len(positions(plan.share(step, rank)))
            assert size <= plan.batch_size + 1
            assert size == plan.batch_size or step == plan.steps - 1


@given(batch=st.integers(1, 12), ranks=st.integers(1, 6), full=st.integers(1, 9), data=st.data())
def test_n_ranks_with_batch_b_take_the_steps_of_one_process_with_batch_n_times_b(
    batch: int, ranks: int, full: int, data: st.DataObject
) -> None:
    left = data.draw(st.sampled_from([0, *range(ranks, ranks * batch)]))
    many = StepPlan(full * ranks * batch + left, ranks, batch)
    one = StepPlan(many.samples, 1, ranks * batch)
    assert [many.step(k) for k in range(many.steps)] == [one.step(k) for k in range(one.steps)]


def test_leftovers_too_few_for_a_step_of_all_ranks_join_the_last_full_step() -> None:
    plan = StepPlan(samples=18, ranks=4, batch_size=4)
    assert plan.steps == 1
    assert [len(positions(plan.share(0, rank))) for rank in range(4)] == [5, 5, 4, 4]


@given(ranks=st.integers(2, 50), batch=st.integers(1, 9), data=st.data())
def test_fewer_samples_than_ranks_are_refused(ranks: int, batch: int, data: st.DataObject) -> None:
    samples = data.draw(st.integers(0, ranks - 1))
    with pytest.raises(TooFewSamplesError, match=f"{samples} samples for {ranks} ranks"):
        StepPlan(samples, ranks, batch)


def test_a_step_beyond_the_epoch_is_an_index_error() -> None:
    with pytest.raises(IndexError, match="steps 0 to 4, but got step 5"):
        StepPlan(10, 1, 2).step(5)


@pytest.mark.parametrize(("ranks", "batch_size"), [(0, 1), (1, 0)])
def test_a_batch_size_or_a_number_of_ranks_below_one_is_refused(
    ranks: int, batch_size: int
) -> None:
    with pytest.raises(ValueError, match=f"ranks={ranks}, batch_size={batch_size}"):
        StepPlan(10, ranks, batch_size)


@given(st.integers(0, 300), st.integers(0, 5), st.integers(0, 5))
def test_the_order_of_an_epoch_is_a_permutation(samples: int, seed: int, epoch: int) -> None:
    assert sorted(epoch_order(samples, seed, epoch)) == list(range(samples))


def test_each_epoch_and_each_seed_has_an_order_of_its_own() -> None:
    orders = {tuple(epoch_order(50, seed, epoch)) for seed in range(4) for epoch in range(4)}
    assert len(orders) == 16


def test_the_order_of_an_epoch_is_the_same_whenever_it_is_asked_for() -> None:
    np.testing.assert_array_equal(epoch_order(50, 3, 7), epoch_order(50, 3, 7))


def test_without_shuffling_every_epoch_has_the_order_of_the_file() -> None:
    np.testing.assert_array_equal(epoch_order(5, 3, 7, shuffle=False), range(5))
