"""This package: engines of a cluster, the cell as a user writes it, all callbacks."""

from __future__ import annotations

from statistics import median

from workload import PASSES

from interactive_dl import Cluster

CELL = """
import sys

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
history = model.fit(
    train,
    epochs={epochs},
    verbose=0,
    callbacks=engine.callbacks(
        "bench", warmup_epochs=1, plateau={{"monitor": "loss"}}, drift_steps=(1, 2)
    ),
)
rates = history.history["samples_per_s"]
"""


def samples_per_s(ranks: int, folder: str) -> float:
    """Median over ``PASSES`` epochs after the first, in which the step is compiled."""
    with Cluster(engines=ranks, threads_per_engine=1, binding="core") as cluster:
        view = cluster.client[:]
        view.execute(CELL.format(folder=folder, epochs=1 + PASSES), block=True)
        return float(median(view["rates"][0][1:]))
