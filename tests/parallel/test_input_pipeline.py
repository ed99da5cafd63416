"""Data that Keras turns into a ``tf.data`` pipeline does not make ranks wait between epochs."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from interactive_dl import data, engine

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="tf.data is TensorFlow's"
)

X = np.zeros((16, 4), np.float32)
Y = np.zeros((16, 1), np.float32)


@pytest.fixture
def tuned(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Of each pass over the data: whether TensorFlow was left to tune its pipeline."""
    from keras.src.backend.tensorflow.trainer import TFEpochIterator

    passes: list[bool] = []
    get_iterator = TFEpochIterator._get_iterator

    def record(self: Any) -> Any:
        dataset = get_iterator(self)
        passes.append(dataset.options().autotune.enabled is not False)
        return dataset

    monkeypatch.setattr(TFEpochIterator, "_get_iterator", record)
    return passes


def model(optimizer: Any) -> keras.Model:
    made = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    made.compile(optimizer, "mse")
    return made


def test_arrays_are_not_tuned_in_training_validation_and_evaluation(tuned: list[bool]) -> None:
    distributed = model(engine.distribute("sgd"))
    distributed.fit(X, Y, batch_size=4, epochs=2, validation_data=(X, Y), verbose=0)
    distributed.evaluate(X, Y, verbose=0)
    assert tuned
    assert not any(tuned)


def test_our_batches_are_not_tuned_with_any_model(tuned: list[bool], group: engine.Group) -> None:
    model("sgd").fit(data.from_arrays(X, Y).shard(group).batch(4), epochs=2, verbose=0)
    assert tuned
    assert not any(tuned)


def test_a_dataset_of_the_users_own_is_left_as_it_is(tuned: list[bool]) -> None:
    import tensorflow as tf

    dataset = tf.data.Dataset.from_tensor_slices((X, Y)).batch(4)
    model(engine.distribute("sgd")).fit(dataset, epochs=2, verbose=0)
    assert all(tuned)


def test_models_that_are_not_distributed_are_left_alone(tuned: list[bool]) -> None:
    model("sgd").fit(X, Y, batch_size=4, epochs=2, verbose=0)
    assert all(tuned)
