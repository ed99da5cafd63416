"""Data shared out over real ranks: complete, in step, and with one error for all."""

from __future__ import annotations

from itertools import chain

import h5py
import keras
import numpy as np
import pytest
from models import dense, loss

from interactive_dl import data, engine
from interactive_dl.errors import MissingKeyError, SourceNotFoundError, TooFewSamplesError


def write(path, samples, names=("x", "y")):
    with h5py.File(path, "w") as file:
        file[names[0]] = np.arange(6 * samples, dtype="float32").reshape(samples, 6) / samples
        file[names[1]] = np.arange(samples) % 4


def file_of(group, folder, samples, **options):
    path = folder / "events.h5"
    if group.rank == 0:
        write(path, samples, **options)
    group.comm.Barrier()
    return path


def test_every_sample_is_taken_once_per_epoch(group, shared_path):
    path = file_of(group, shared_path, 37)
    batches = data.open(path).shard(group, seed=3).batch(4)
    for epoch in range(3):
        order = batches.shard.order(epoch)
        mine = [order[batches.plan.share(step, group.rank)] for step in range(batches.steps)]
        everybodys = np.concatenate(list(chain.from_iterable(group.allgather(mine))))
        assert sorted(everybodys) == list(range(37))
    assert len(set(group.allgather(batches.steps))) == 1


@pytest.mark.parametrize("samples", [37, 40, 41])
def test_uneven_last_batches_do_not_part_the_ranks(group, shared_path, samples):
    """Any rank with a step more would wait in its allreduce for ever."""
    path = file_of(group, shared_path, samples)
    batches = data.open(path).shard(group).batch(4)
    model = dense()
    model.compile(engine.distribute("sgd"), loss())
    model.fit(batches, epochs=2, verbose=0, callbacks=engine.callbacks("uneven"))
    assert int(keras.ops.convert_to_numpy(model.optimizer.iterations)) == 2 * batches.steps


def test_a_file_missing_on_one_rank_is_one_error_on_all(group, shared_path):
    path = file_of(group, shared_path, 40)
    mine = path if group.rank < group.size - 1 else path.with_name("elsewhere.h5")
    with pytest.raises(SourceNotFoundError, match="elsewhere.h5") as caught:
        data.open(mine).shard(group)
    assert len(set(group.allgather(str(caught.value)))) == 1


def test_a_wrong_key_names_those_that_exist_on_all_ranks(group, shared_path):
    path = file_of(group, shared_path, 40, names=("pictures", "labels"))
    with pytest.raises(MissingKeyError, match="labels, pictures"):
        data.open(path, x="images", y="labels").shard(group)


def test_too_few_samples_for_the_ranks_is_one_error_on_all(group, shared_path):
    path = file_of(group, shared_path, max(1, group.size - 1))
    if group.size > 1:
        with pytest.raises(TooFewSamplesError, match=str(group.size)):
            data.open(path).shard(group).batch(4)
