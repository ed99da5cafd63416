"""Small trainings for the engines of a virtual centre."""

from __future__ import annotations

TRAINING = """
import time

import keras
import numpy as np

from interactive_dl import data, engine

group = engine.init(seed=1)


class Slow(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        time.sleep({step_s})


numbers = np.random.default_rng(0).normal(size=({samples}, 4)).astype("float32")
batches = data.from_arrays(numbers, numbers[:, :1]).shard(group).batch(8)
model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
model.compile(engine.distribute(keras.optimizers.SGD(0.01)), "mse")
callbacks = engine.callbacks({name!r}, checkpoint={checkpoint!r})
model.fit(batches, epochs={epochs}, verbose=0, callbacks=[*callbacks, Slow()])
"""
"""Text of a cell; ``format`` takes name, checkpoint, epochs, samples (in all), step_s."""


def training(
    name: str, checkpoint: str, *, epochs: int = 1000, samples: int = 160, step_s: float = 0.05
) -> str:
    """A cell that trains for a while."""
    return TRAINING.format(
        name=name, checkpoint=checkpoint, epochs=epochs, samples=samples, step_s=step_s
    )
