"""The figures by which the RPV case is judged, on events small enough to count by hand."""

from dataclasses import replace

import numpy as np
import pytest

from interactive_dl.science import rpv

Y = np.array([1, 1, 1, 1, 0, 0, 0, 0])
CUTS = np.array([1, 1, 0, 0, 1, 0, 0, 0], dtype=bool)
WEIGHT = np.array([1.0, 1, 1, 1, 10, 10, 10, 10])
PROBABILITY = np.array([0.9, 0.8, 0.7, 0.3, 0.6, 0.4, 0.2, 0.1])


def test_shares_are_counted_as_by_hand() -> None:
    scores = rpv.score(Y, PROBABILITY, CUTS, WEIGHT)
    assert (scores.cuts_tpr, scores.cuts_fpr) == (0.5, 0.25)
    assert (scores.accuracy, scores.purity, scores.efficiency) == (0.75, 0.75, 0.75)
    assert scores.auc == pytest.approx(14 / 16)


def test_weights_count_each_event_as_often_as_it_happens() -> None:
    scores = rpv.score(Y, PROBABILITY, CUTS, WEIGHT)
    assert scores.weighted_accuracy == pytest.approx(33 / 44)
    assert scores.weighted_purity == pytest.approx(3 / 13)


def test_the_gain_compares_at_the_background_of_the_cuts() -> None:
    scores = rpv.score(Y, PROBABILITY, CUTS, WEIGHT)
    assert scores.tpr_at_cuts_fpr == 0.75
    assert scores.gain == 1.5


def test_without_cuts_there_is_no_gain_and_no_gate() -> None:
    scores = rpv.score(Y, PROBABILITY, None, WEIGHT)
    assert scores.auc == pytest.approx(14 / 16)
    assert np.isnan([scores.cuts_tpr, scores.tpr_at_cuts_fpr, scores.gain]).all()
    assert not scores.passes_gate


def test_predictions_may_be_a_column() -> None:
    assert rpv.score(Y, PROBABILITY[:, None], CUTS, WEIGHT).auc == pytest.approx(14 / 16)


def test_a_classifier_that_accepts_nothing_has_no_purity() -> None:
    assert rpv.score(Y, PROBABILITY / 10, CUTS, WEIGHT).purity == 0


def test_the_gate_wants_both_a_high_auc_and_a_gain() -> None:
    good = rpv.score(Y, PROBABILITY, CUTS, WEIGHT)
    assert good.passes_gate
    assert not rpv.score(Y, 1 - PROBABILITY, CUTS, WEIGHT).passes_gate
    as_good_as_its_cuts = rpv.score(Y, PROBABILITY, np.array([1, 1, 1, 0, 1, 0, 0, 0]) == 1, WEIGHT)
    assert not as_good_as_its_cuts.passes_gate


def test_cuts_that_do_badly_make_no_gain() -> None:
    scores = rpv.Scores(0.9, 0.1, 0.1, 0.3, 0.8, 0.8, 0.8, 0.8, 0.8)
    assert scores.gain == pytest.approx(3)
    assert not scores.passes_gate
    assert replace(scores, tpr_at_cuts_fpr=0.32).passes_gate
