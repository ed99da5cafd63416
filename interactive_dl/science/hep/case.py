"""HEP as a case."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interactive_dl import data
from interactive_dl.science.definition import Case, Predictor, Published, predictions
from interactive_dl.science.hep.config import FULL_SIZE, LAPTOP, Config
from interactive_dl.science.hep.data import open, write
from interactive_dl.science.rpv.metric import GATE, score

if TYPE_CHECKING:
    import keras


def build_model(config: Config) -> keras.Model:
    """The network of a configuration."""
    from interactive_dl.science.hep.model import build_model

    return build_model(config.filters, config.dropout, config.input_shape)


def compile(model: keras.Model, config: Config, distribute: Callable[[Any], Any]) -> None:
    """Cross-entropy; SGD or Adam with a higher rate for biases, and decay for kernels only."""
    from interactive_dl.science.hep.optimizer import LayerAdam, LayerSGD

    options = {"learning_rate": config.learning_rate, "weight_decay": config.weight_decay}
    rates = {r"bias$": config.bias_rate}
    optimizer: keras.optimizers.Optimizer
    if config.optimizer == "sgd":
        optimizer = LayerSGD(rates=rates, momentum=config.momentum, **options)
    else:
        optimizer = LayerAdam(rates=rates, **options)
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    model.compile(distribute(optimizer), "sparse_categorical_crossentropy", metrics=["accuracy"])


def judge(predictor: Predictor, config: Config, folder: Path) -> dict[str, float]:
    """The figures of ``rpv.metric.Scores``, the improvement over the cuts (gain) among them."""
    psr, label, weight = data.open(folder, "test", x="psr", y="label", weight="weight").arrays()
    probability = predictions(predictor, open(folder, "test"), 500)[:, 1]
    return score(label, probability, psr == 1, weight).metrics()


CASE = Case(
    name="hep",
    title="supersymmetry's jets told from QCD's, three channels of the whole detector",
    source="arXiv:1708.05256 (15 PF), hep_cnn_benchmark",
    differs="events of our own generator, 5000 instead of 10 M, 32x32 pixels instead of 224x224,"
    " 32 filters instead of 128; background as hard as the signal, so that cuts let more pass",
    sizes={"laptop": LAPTOP, "full": FULL_SIZE},
    data_fields=("size", "train", "val", "test"),
    write=write,
    open=open,
    build_model=build_model,
    compile=compile,
    score=judge,
    gate=GATE,
    parameters={"full": 594_178},
    published=(
        Published("gain", "1.3", "whole machine, after 12 minutes"),
        Published("gain", "1.7", "trained to convergence (not verified)"),
        Published("cuts_tpr", "0.42", "at a cuts_fpr of 0.0002 (not verified)"),
    ),
)
