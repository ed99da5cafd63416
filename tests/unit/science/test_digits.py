"""Digits: the fixed split, and a gate that only a network that learned passes."""

import keras
import numpy as np

from interactive_dl import data
from interactive_dl.science import digits

EPOCHS = 10


def accuracy(labels_of_training: np.ndarray | None, epochs: int) -> float:
    keras.utils.set_random_seed(1)
    split = digits.load()
    x, y = split.train.arrays()
    train = data.from_arrays(x, y if labels_of_training is None else labels_of_training)
    model = digits.build_model()
    model.compile(
        keras.optimizers.Adam(2e-3), "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    if epochs:
        model.fit(train.shard(seed=1).batch(32), epochs=epochs, verbose=0)
    val = split.val.shard(shuffle=False).batch(360)
    return float(model.evaluate(val, verbose=0, return_dict=True)["accuracy"])


def test_the_split_is_fixed_and_shares_no_digit() -> None:
    one, other = digits.load(), digits.load()
    np.testing.assert_array_equal(one.val.arrays()[0], other.val.arrays()[0])
    assert (len(one.train), len(one.val)) == (1437, 360)
    training = {image.tobytes() for image in one.train.arrays()[0]}
    assert not training & {image.tobytes() for image in one.val.arrays()[0]}


def test_images_lie_between_zero_and_one() -> None:
    x, y = digits.load().train.arrays()
    assert (x.shape, x.dtype, x.min(), x.max()) == ((1437, 8, 8, 1), np.float32, 0, 1)
    assert set(y) == set(range(10))


def test_a_trained_network_passes() -> None:
    assert accuracy(None, EPOCHS) >= digits.ACCURACY_GATE


def test_an_untrained_network_fails() -> None:
    assert accuracy(None, epochs=0) < 0.4


def test_a_network_trained_on_shuffled_labels_fails() -> None:
    labels = np.random.default_rng(0).permutation(digits.load().train.arrays()[1])
    assert accuracy(labels, EPOCHS) < 0.4
