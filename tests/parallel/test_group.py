"""Groups: formed, kept, re-formed, refused; on real MPI and Horovod."""

from __future__ import annotations

import time

import keras
import numpy as np
import pytest

from interactive_dl import engine
from interactive_dl.engine import _horovod, world
from interactive_dl.engine._reduction import reduction_of
from interactive_dl.errors import GroupError


def reduced_ranks(group):
    """Sum over the group of 1 + the rank in the world, by Horovod."""
    mine = keras.ops.convert_to_tensor(np.float32([1 + world.current().rank]))
    framework = _horovod.keras_framework()
    (total,) = _horovod.reduce(framework, [mine], name="ranks", op="sum", compression="none")
    return float(keras.ops.convert_to_numpy(total)[0])


def half_of(size, rank):
    """Engines of the half of the world that ``rank`` is in."""
    middle = (size + 1) // 2
    return range(middle) if rank < middle else range(middle, size)


def test_ranks_of_a_group_cover_it_once(group):
    assert sorted(group.allgather(group.rank)) == list(range(group.size))
    assert group.engines == tuple(range(group.size))
    assert group.local_size == group.size
    assert group.local_rank == group.rank


def test_joining_again_keeps_the_group(group):
    assert engine.init() is group
    assert engine.init(seed=1) is group


def test_regrouping_reduces_over_the_members_only(group):
    everybody = sum(range(1, group.size + 1))
    for _ in range(5):
        half = engine.init(engines=half_of(group.size, group.rank))
        assert half.size == len(half_of(group.size, group.rank))
        assert reduced_ranks(half) == sum(member + 1 for member in half.engines)
        again = engine.init(engines=range(group.size))
        assert reduced_ranks(again) == everybody


def test_regrouping_takes_milliseconds(group):
    """The bar is far above the measured 5-30 ms, far below a restart of processes."""
    begin = time.perf_counter()
    engine.init(engines=half_of(group.size, group.rank))
    engine.init(engines=range(group.size))
    assert time.perf_counter() - begin < 3


def test_a_model_goes_on_in_a_smaller_and_again_in_the_whole_group(group):
    """The compiled step must not keep the size of the group it was traced in."""
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
    model.set_weights([np.zeros((1, 1), "float32")])
    model.compile(engine.distribute(keras.optimizers.SGD(0.5)), "mse")
    x, y = np.ones((1, 1), "float32"), np.full((1, 1), group.rank, "float32")
    for members in (range(group.size), half_of(group.size, group.rank), range(group.size)):
        part = engine.init(engines=members)
        model.set_weights([np.zeros((1, 1), "float32")])
        model.train_on_batch(x, y)
        assert model.get_weights()[0][0, 0] == pytest.approx(np.mean(part.engines))


def test_a_member_that_does_not_come_is_named(group):
    if group.rank == 0 and group.size > 1:
        with pytest.raises(GroupError, match=f"engine {group.size - 1}|engines 1"):
            world.meet(range(group.size), timeout_s=0.3)


def test_engines_outside_the_world_are_refused(group):
    with pytest.raises(GroupError, match=f"\\[{group.size + 5}\\]"):
        engine.init(engines=[group.rank, group.size + 5])


def test_a_rank_outside_the_group_it_asks_for_is_refused(group):
    others = [member for member in range(group.size) if member != group.rank]
    if others:
        with pytest.raises(GroupError, match="must be a member"):
            engine.init(engines=others)


def test_the_seed_is_alike_on_all_ranks(group):
    engine.init(seed=11)
    drawn = (np.random.random(), float(keras.ops.convert_to_numpy(keras.random.uniform(()))))
    assert len(set(group.allgather(drawn))) == 1


def test_averages_are_alike_bit_for_bit(group):
    mine = np.random.default_rng(group.rank).normal(size=(5, 3)).astype("float32")
    average = group.average_array(mine)
    np.testing.assert_allclose(average, np.mean(group.allgather(mine), axis=0), rtol=1e-6)
    assert len({array.tobytes() for array in group.allgather(average)}) == 1
    assert group.average({"loss": float(group.rank)}) == {"loss": (group.size - 1) / 2}


def test_optimizers_of_ranks_with_different_pasts_meet_under_one_name(group):
    alone = engine.init(engines=[group.rank])
    for _ in range(alone.engines[0]):
        engine.distribute("sgd")
    together = engine.init(engines=range(group.size))
    optimizer = engine.distribute("sgd")
    names = together.allgather(reduction_of(optimizer).name)
    assert names == [names[0]] * group.size


def test_optimizers_of_one_group_have_names_of_their_own_alike_on_all_ranks(group):
    names = [reduction_of(engine.distribute(one)).name for one in ("sgd", "adam")]
    assert len(set(names)) == 2
    assert group.allgather(names) == [names] * group.size
