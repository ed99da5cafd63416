"""This package: engines of a cluster, the cell as a user writes it, all callbacks."""

from __future__ import annotations

from interactive_dl import Cluster

SETUP = """
import sys

import horovod.tensorflow as hvd
import keras
import numpy as np
from interactive_dl import data, engine
from interactive_dl.science.rpv import build_model

sys.path.insert(0, {folder!r})
from workload import BATCH, images_and_labels

group = engine.init(seed=0)
images, labels = zip(*map(images_and_labels, range(group.size)))
train = data.from_arrays(np.concatenate(images), np.concatenate(labels)).shard(group).batch(BATCH)
model = build_model()
model.compile(
    engine.distribute(keras.optimizers.Adam(engine.scale_lr(1e-3))),
    "binary_crossentropy",
    metrics=["accuracy"],
)
"""
TURN = """
engine.init()
history = model.fit(
    train,
    epochs=2,
    verbose=0,
    callbacks=engine.callbacks(
        "bench", warmup_epochs=1, plateau={"monitor": "loss"}, drift_steps=(1, 2)
    ),
)
rates = history.history["samples_per_s"]
hvd.shutdown()  # its threads are busy when they have nothing to do
"""


class Ours:
    """A cluster of ``ranks`` engines that waits for its turn."""

    def __init__(self, ranks: int, folder: str) -> None:
        self._cluster = Cluster(engines=ranks, threads_per_engine=1, binding="core").start()
        self._view = self._cluster.client[:]
        self._view.execute(SETUP.format(folder=folder), block=True)
        self.turn()

    def turn(self) -> float:
        """Samples/s of the second of two epochs."""
        self._view.execute(TURN, block=True)
        return float(self._view["rates"][0][-1])

    def end(self) -> None:
        """Stop the cluster."""
        self._cluster.stop()
