"""Training on real engines: classic cells, cells that fail, engines that die in a step."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from ipyparallel.error import CompositeError, RemoteError

from interactive_dl.cluster import Cluster

TIMEOUT_S = 120

CLASSIC_CELL = """
import keras
import numpy as np
import horovod.keras as hvd

hvd.init()
keras.utils.set_random_seed(hvd.rank())
model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
opt = hvd.DistributedOptimizer(keras.optimizers.SGD(0.01 * hvd.size(), momentum=0.9))
model.compile(loss="mse", optimizer=opt)
x = np.random.default_rng(hvd.rank()).normal(size=(32, 4))
model.fit(x, x[:, :3], batch_size=8, epochs=2, verbose=0, callbacks=[
    hvd.callbacks.BroadcastGlobalVariablesCallback(0),
    hvd.callbacks.MetricAverageCallback(),
    hvd.callbacks.LearningRateWarmupCallback(warmup_epochs=1, initial_lr=0.01 * hvd.size()),
])
weights = model.get_weights()[0].tobytes()
ranks = hvd.size()
"""

LOOP_THAT_FAILS_ON_ONE = """
import numpy as np
import tensorflow as tf
import horovod.tensorflow as hvd

hvd.init()
for step in range(1000):
    if step == 5 and hvd.rank() == 1:
        raise ValueError("only on rank 1")
    hvd.allreduce(tf.ones(3), name="loop")
"""

LONG_FIT = """
import keras
import numpy as np
from interactive_dl import engine

class Tell(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        open(told, "w").close()

def train(epochs, extra=()):
    group = engine.init(seed=1)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    model.compile(engine.distribute(keras.optimizers.SGD(0.01)), "mse")
    x = np.random.default_rng(group.rank).normal(size=(64, 4))
    model.fit(x, x[:, :3], batch_size=8, epochs=epochs, verbose=0,
              callbacks=[*engine.callbacks("long", on_rank_loss="stop"), *extra])
    return group.size

train(100_000 if long else 1, [Tell()])
"""


def run(cluster: Cluster, cell: str) -> None:
    cluster.client[:].execute(cell).get(timeout=TIMEOUT_S)


def test_the_classic_keras_cell_reduces_on_engines(cluster: Cluster) -> None:
    run(cluster, CLASSIC_CELL)
    assert cluster.client[:]["ranks"] == [len(cluster.engines)] * len(cluster.engines)
    assert len(set(cluster.client[:]["weights"])) == 1


def test_a_cell_that_fails_on_one_engine_frees_the_others(cluster: Cluster) -> None:
    with pytest.raises((CompositeError, RemoteError)) as raised:
        run(cluster, LOOP_THAT_FAILS_ON_ONE)
    told = str(raised.value)
    assert "only on rank 1" in told
    assert "orovod" in told, "the others' collectives end with Horovod's error"
    run(cluster, CLASSIC_CELL)


def test_a_mistyped_cell_costs_nobody_his_horovod(cluster: Cluster) -> None:
    run(cluster, CLASSIC_CELL)
    with pytest.raises((CompositeError, RemoteError), match="NameError"):
        run(cluster, "modle.summary()")
    run(cluster, "total = float(hvd.allreduce(1.0, average=False))")
    assert cluster.client[:]["total"] == [float(len(cluster.engines))] * len(cluster.engines)


def test_an_engine_killed_in_a_step_is_named_and_the_living_train_on(
    cluster: Cluster,
    until: Callable[..., None],
    tmp_path: Path,
    train_one_keras_step_on_all: Callable[[Cluster], None],
) -> None:
    told = tmp_path / "training"
    victim = cluster.engines[-1]
    cluster.client[:].push({"told": str(told), "long": True}, block=True)
    training = cluster.client[:].execute(LONG_FIT)
    until(told.exists, "the first step is done", timeout_s=TIMEOUT_S)
    os.kill(victim.pid, signal.SIGKILL)
    with pytest.raises(CompositeError) as raised:
        training.get(timeout=TIMEOUT_S)
    assert f"rank {victim.rank}" in str(raised.value)
    assert "died during the training" in str(raised.value)

    living = cluster.client[[engine.id for engine in cluster.engines if engine.id != victim.id]]
    living.push({"long": False}, block=True)
    living.execute(LONG_FIT + "\nsize = engine.current().size").get(timeout=TIMEOUT_S)
    assert living["size"] == [len(living)] * len(living)

    cluster.heal()
    train_one_keras_step_on_all(cluster)
