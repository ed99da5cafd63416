"""The RPV gate: a network that learned passes, one that could not fails."""

import keras
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from interactive_dl import data
from interactive_dl.science import rpv
from interactive_dl.science.rpv import LAPTOP

EPOCHS = 4


def network(seed: int) -> keras.Model:
    keras.utils.set_random_seed(seed)
    model = rpv.build_model(LAPTOP.conv, LAPTOP.dense, LAPTOP.dropout, LAPTOP.input_shape)
    model.compile(keras.optimizers.Adam(LAPTOP.learning_rate), "binary_crossentropy")
    return model


def train(events: rpv.Events, labels: np.ndarray, seed: int) -> keras.Model:
    model = network(seed)
    shard = data.from_arrays(events.hist, labels).shard(seed=seed)
    model.fit(shard.batch(LAPTOP.batch_size), epochs=EPOCHS, verbose=0)
    return model


def judge(model: keras.Model, events: rpv.Events) -> rpv.Scores:
    predicted = model.predict(events.dataset().shard(shuffle=False).batch(500), verbose=0)
    return rpv.score(events.y, predicted, events.passes_cuts, events.weight)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_trained_network_passes(jets, seed: int, record_property) -> None:
    scores = judge(train(jets.train, jets.train.y, seed), jets.test)
    record_property("auc", scores.auc)
    record_property("gain", scores.gain)
    assert scores.passes_gate, scores


def test_an_untrained_network_fails(jets) -> None:
    scores = judge(network(0), jets.test)
    assert not scores.passes_gate
    assert scores.auc < 0.65


def test_a_network_trained_on_shuffled_labels_fails(jets) -> None:
    shuffled = np.random.default_rng(0).permutation(jets.train.y)
    scores = judge(train(jets.train, shuffled, seed=0), jets.test)
    assert not scores.passes_gate
    assert scores.auc < 0.65


def test_sums_over_the_image_do_not_give_the_answer_away(jets) -> None:
    def sums(events: rpv.Events) -> np.ndarray:
        energy_gev = np.expm1(5.0 * events.hist.astype(np.float64)).reshape(len(events), -1)
        lit, brightest = (energy_gev > 0).sum(axis=1), energy_gev.max(axis=1)
        figures = [energy_gev.sum(axis=1), lit, brightest, events.hist.std(axis=(1, 2))]
        columns = np.stack(figures, axis=1)
        return (columns - columns.mean(axis=0)) / columns.std(axis=0)

    model = LogisticRegression().fit(sums(jets.train), jets.train.y)
    assert roc_auc_score(jets.test.y, model.decision_function(sums(jets.test))) < 0.75
