"""Two networks against each other on all ranks: both optimizers reduce, all ranks keep the same."""

from __future__ import annotations

from dataclasses import replace

import keras
import numpy as np

from interactive_dl import science
from interactive_dl.engine._agreement import check_weights_agree
from interactive_dl.engine._reduction import distributed_optimizers
from interactive_dl.science.cosmogan.case import CASE as LARGE
from interactive_dl.science.cosmogan.config import LAPTOP_CONDITIONAL

TINY = replace(
    LAPTOP_CONDITIONAL,
    size=8,
    train=64,
    val=16,
    test=16,
    latent=4,
    generator=(4, 2),
    discriminator=(2, 4),
    batch_size=16,
    epochs=2,
)
CASE = replace(LARGE, sizes={"laptop": TINY})


def numbers(network: keras.Model) -> np.ndarray:
    return np.concatenate([weight.ravel() for weight in network.get_weights()])


def test_both_networks_learn_and_stay_alike_though_each_rank_has_noise_of_its_own(
    group, shared_path
):
    trained = []

    def train(task):
        trained.append(CASE.train(task))
        return trained[0]

    result = science.run(replace(CASE, train=train), cache=shared_path, seed=3)
    assert all(np.isfinite(value) for value in result.metrics.values())
    (model,) = trained
    check_weights_agree(model, "after the best epoch")
    assert len(distributed_optimizers(model)) == 2
    assert [int(optimizer.iterations) for optimizer in distributed_optimizers(model)] == [8, 8]
    noise = group.allgather(keras.ops.convert_to_numpy(model.noise.state.value).tolist())
    assert len({tuple(each) for each in noise}) == group.size
