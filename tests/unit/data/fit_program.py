"""Records what a model sees in ``fit``; run by ``test_fit.py`` once per Keras backend."""

import json
import sys
from typing import Any

import keras
import numpy as np

from interactive_dl import data

SAMPLES = 50
BATCH_SIZE = 8


class Seen(keras.layers.Layer):
    """Passes its input on and writes down the samples' numbers, batch by batch."""

    def __init__(self) -> None:
        super().__init__()
        self.training: list[list[int]] = []
        self.validation: list[list[int]] = []

    def call(self, x: Any, training: bool = False) -> Any:
        if not isinstance(x, keras.KerasTensor):
            numbers = keras.ops.convert_to_numpy(x)[:, 0].astype(int).tolist()
            (self.training if training else self.validation).append(numbers)
        return x


class Begin(keras.callbacks.Callback):
    """Forgets what was seen while Keras built the model."""

    def __init__(self, seen: Seen) -> None:
        super().__init__()
        self.seen = seen

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self.seen.training.clear()
        self.seen.validation.clear()


class SetEpoch(keras.callbacks.Callback):
    """What ``engine.callbacks`` do at the beginning of an epoch."""

    def __init__(self, batches: data.Batches) -> None:
        super().__init__()
        self.batches = batches

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.batches.set_epoch(epoch)


def numbered(samples: int, readers: int = 0) -> data.Batches:
    x = np.arange(samples, dtype=np.float32)[:, None]
    return data.from_arrays(x, np.zeros((samples, 1))).shard(seed=5).batch(BATCH_SIZE, readers)


def fit(batches: data.Batches, epochs: int, tell: bool = True, **options: Any) -> Seen:
    seen = Seen()
    model = keras.Sequential([seen, keras.layers.Dense(1)])
    model.compile("sgd", "mse", run_eagerly=True)
    callbacks = [Begin(seen), *([SetEpoch(batches)] if tell else [])]
    model.fit(batches, epochs=epochs, callbacks=callbacks, verbose=0, **options)
    return seen


def compiled_loss(batches: data.Batches) -> float:
    """The mean square of the samples' numbers, as compiled training steps sum it up."""
    model = keras.Sequential([keras.layers.Dense(1, kernel_initializer="ones", use_bias=False)])
    model.compile(keras.optimizers.SGD(0.0), "mse")
    return float(model.fit(batches, epochs=1, verbose=0).history["loss"][0])


def main() -> None:
    validated = fit(numbered(SAMPLES), 2, validation_data=numbered(20))
    untold = numbered(SAMPLES)
    report = {
        "uninterrupted": fit(numbered(SAMPLES), 4).training,
        "resumed": fit(numbered(SAMPLES), 4, initial_epoch=2).training,
        "a few steps per epoch": fit(numbered(SAMPLES), 7, steps_per_epoch=2).training,
        "read by two readers": fit(numbered(SAMPLES, readers=2), 2).training,
        "untold": fit(untold, 4, tell=False).training,
        "epoch after the untold": untold.epoch,
        "two batches": fit(numbered(2 * BATCH_SIZE), 3).training,
        "validation": validated.validation,
        "training beside validation": validated.training,
        "compiled loss": compiled_loss(numbered(SAMPLES)),
    }
    json.dump(report, sys.stdout)


if __name__ == "__main__":
    main()
