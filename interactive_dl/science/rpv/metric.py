"""How well signal is told from background, and how much better than by the physicists' cuts."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import numpy as np

from interactive_dl.science.definition import Bound, missed

AUC_GATE = 0.80
GAIN_GATE = 1.5
REFERENCE_CUTS_TPR = 0.21
GATE = (
    Bound("auc", ">=", AUC_GATE),
    Bound("gain", ">=", GAIN_GATE),
    Bound("tpr_at_cuts_fpr", ">=", GAIN_GATE * REFERENCE_CUTS_TPR),
)
"""The gain is asked for twice: over the cuts on these very events, and over the 0.21 of the signal
that the cuts accept in the reference (``science.md``, 8.2 (b), hard background), so that cuts which
happen to do badly here make no gain."""


@dataclass(frozen=True)
class Scores:
    """Figures of a classifier on one set of events; its threshold is 0.5.

    Attributes:
        auc: area under the ROC curve; 0.5 is guessing.
        cuts_tpr: share of the signal that the cuts accept.
        cuts_fpr: share of the background that the cuts accept.
        tpr_at_cuts_fpr: share of the signal that the classifier accepts when it accepts as much
            background as the cuts. This and the two before are nan where it is not known what
            the cuts accept.
        accuracy: share of right decisions.
        purity: share of signal in what is accepted.
        efficiency: share of signal that is accepted.
        weighted_accuracy, weighted_purity: the same, counting each event by its weight.
    """

    auc: float
    cuts_tpr: float
    cuts_fpr: float
    tpr_at_cuts_fpr: float
    accuracy: float
    purity: float
    efficiency: float
    weighted_accuracy: float
    weighted_purity: float

    @property
    def gain(self) -> float:
        """How many times as much signal as the cuts, at the same background."""
        return self.tpr_at_cuts_fpr / self.cuts_tpr if self.cuts_tpr else float("inf")

    @property
    def passes_gate(self) -> bool:
        """Whether this is a training that worked: whether it fulfils ``GATE``."""
        return not missed(GATE, self.metrics())

    def metrics(self) -> dict[str, float]:
        """All figures by name, the gain among them."""
        return {**asdict(self), "gain": self.gain}


def score(
    y: np.ndarray, probability: np.ndarray, passes_cuts: np.ndarray | None, weight: np.ndarray
) -> Scores:
    """Compare predictions with the truth and with the cuts.

    Args:
        y: 1 for signal, 0 for background, shape (events,).
        probability: of signal, as predicted, shape (events,) or (events, 1).
        passes_cuts: whether the cuts accept each event, bool, shape (events,); None: not known.
        weight: how many events each stands for, shape (events,).
    """
    from sklearn.metrics import roc_auc_score

    predicted = np.asarray(probability).reshape(-1)
    truth = np.asarray(y) == 1
    accepted = predicted >= 0.5
    cuts_tpr = cuts_fpr = math.nan
    if passes_cuts is not None:
        cuts_tpr, cuts_fpr = float(passes_cuts[truth].mean()), float(passes_cuts[~truth].mean())
    return Scores(
        auc=float(roc_auc_score(truth, predicted)),
        cuts_tpr=cuts_tpr,
        cuts_fpr=cuts_fpr,
        tpr_at_cuts_fpr=tpr_at(cuts_fpr, truth, predicted),
        accuracy=float(np.mean(accepted == truth)),
        purity=_share(truth, accepted, np.ones_like(weight)),
        efficiency=float(accepted[truth].mean()),
        weighted_accuracy=float(np.average(accepted == truth, weights=weight)),
        weighted_purity=_share(truth, accepted, weight),
    )


def tpr_at(fpr: float, truth: np.ndarray, predicted: np.ndarray) -> float:
    """The ROC curve's true positive rate at a false positive rate (linear between its points)."""
    from sklearn.metrics import roc_curve

    false_rates, true_rates, _ = roc_curve(truth, predicted, drop_intermediate=False)
    return float(np.interp(fpr, false_rates, true_rates))


def _share(truth: np.ndarray, accepted: np.ndarray, weight: np.ndarray) -> float:
    """Weighted share of signal in what is accepted; 0 where nothing is."""
    total = float(weight[accepted].sum())
    return float(weight[accepted & truth].sum()) / total if total else 0.0
