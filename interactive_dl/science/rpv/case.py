"""RPV as a case."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interactive_dl import data
from interactive_dl.errors import MissingKeyError
from interactive_dl.science.definition import Case, Predictor, Published, predictions
from interactive_dl.science.rpv.config import (
    FULL_SIZE,
    FULL_SIZE_SINGLE_NODE,
    FULL_SIZE_SMALL,
    LAPTOP,
    Config,
)
from interactive_dl.science.rpv.data import write_splits
from interactive_dl.science.rpv.metric import GATE, score

if TYPE_CHECKING:
    import keras


def write(config: Config, folder: Path, seed: int) -> None:
    """Simulate the events of all splits."""
    write_splits(
        folder,
        train=config.train,
        val=config.val,
        test=config.test,
        size=config.size,
        seed=seed,
    )


def build_model(config: Config) -> keras.Model:
    """The network of a configuration."""
    from interactive_dl.science.rpv.model import build_model

    return build_model(
        config.conv, config.dense, config.dropout, config.input_shape, config.strides
    )


def compile(model: keras.Model, config: Config, distribute: Callable[[Any], Any]) -> None:
    """Adam, binary cross-entropy, accuracy and AUC."""
    import keras

    model.compile(
        distribute(keras.optimizers.Adam(config.learning_rate)),
        "binary_crossentropy",
        metrics=["accuracy", keras.metrics.AUC(name="auc")],
    )


def judge(predictor: Predictor, config: Config, folder: Path) -> dict[str, float]:
    """The figures of ``metric.Scores`` on the test events.

    Files without ``passSR`` do not say what the cuts accept.
    """
    test = data.open(folder, "test", weight="all_events/weight")
    _, y, weight = test.arrays()
    try:
        passes_cuts, *_ = data.open(folder, "test", x="all_events/passSR").arrays()
    except MissingKeyError:
        accepted = None
    else:
        accepted = passes_cuts == 1
    return score(y, predictions(predictor, test, 500), accepted, weight).metrics()


CASE = Case(
    name="rpv",
    title="supersymmetry's jets told from QCD's, one calorimeter channel",
    source="arXiv:1711.03573, cori-intml-examples",
    differs="events of our own generator (jets without Pythia and Delphes), 32x32 pixels, 6000"
    " events instead of 412,416; background as hard as the signal, so that accuracies are lower",
    sizes={
        "laptop": LAPTOP,
        "full": FULL_SIZE,
        "full-small": FULL_SIZE_SMALL,
        "full-single-node": FULL_SIZE_SINGLE_NODE,
    },
    data_fields=("size", "train", "val", "test"),
    write=write,
    open=data.open,
    build_model=build_model,
    compile=compile,
    score=judge,
    gate=GATE,
    parameters={"full": 547_841, "full-small": 137_089, "full-single-node": 34_515_201},
    published=(
        Published("accuracy", "0.983", "DistTrain_rpv, test events, unweighted"),
        Published("purity", "0.980", "DistTrain_rpv, test events, unweighted"),
        Published("efficiency", "0.981", "DistTrain_rpv, test events, unweighted"),
        Published("weighted_accuracy", "0.967", "DistTrain_rpv"),
        Published("weighted_purity", "0.0017", "DistTrain_rpv"),
        Published("accuracy", "0.899", "Train_rpv, the network of 34.5 M parameters"),
    ),
)
