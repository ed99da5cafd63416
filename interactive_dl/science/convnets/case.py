"""The ConvNets as a case."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from interactive_dl.science.convnets.config import (
    ALEXNET,
    CAFFENET,
    FULL_SIZE,
    GOOGLENET,
    LAPTOP,
    Config,
)
from interactive_dl.science.convnets.data import open, write
from interactive_dl.science.definition import Bound, Case, Predictor, Published, predictions

if TYPE_CHECKING:
    import keras

MOMENTUM = 0.9
ACCURACY_GATE = 0.8


def build_model(config: Config) -> keras.Model:
    """The network of a configuration."""
    from interactive_dl.science.convnets.model import build_model

    return build_model(config.network, config.input_shape, config.classes)


def compile(model: keras.Model, config: Config, distribute: Callable[[Any], Any]) -> None:
    """The configuration's optimizer, cross-entropy and accuracy."""
    import keras

    optimizer: keras.optimizers.Optimizer
    if config.optimizer == "sgd":
        optimizer = keras.optimizers.SGD(config.learning_rate, momentum=MOMENTUM)
    else:
        optimizer = keras.optimizers.Adam(config.learning_rate)
    model.compile(distribute(optimizer), "sparse_categorical_crossentropy", metrics=["accuracy"])


def score(predictor: Predictor, config: Config, folder: Path) -> dict[str, float]:
    """Accuracy on the test images, and how often the truth is among the first five answers."""
    test = open(folder, "test")
    answers = predictions(predictor, test, 250)
    best = np.argsort(-answers, axis=1, kind="stable")[:, :5] == test.arrays()[1][:, np.newaxis]
    return {"accuracy": float(best[:, 0].mean()), "top5": float(best.any(axis=1).mean())}


CASE = Case(
    name="convnets",
    title="CIFAR-type ConvNet, AlexNet, CaffeNet and GoogLeNet on drawings",
    source="the Stampede2 study; Caffe's model zoo",
    differs="drawings of our own instead of CIFAR-10 and ImageNet; GoogLeNet without its auxiliary"
    " classifiers; the study is about speed and reports no accuracies to compare",
    sizes={
        "laptop": LAPTOP,
        "full": FULL_SIZE,
        "alexnet": ALEXNET,
        "caffenet": CAFFENET,
        "googlenet": GOOGLENET,
    },
    data_fields=("size", "classes", "train", "val", "test"),
    write=write,
    open=open,
    build_model=build_model,
    compile=compile,
    score=score,
    gate=(Bound("accuracy", ">=", ACCURACY_GATE),),
    parameters={
        "laptop": 89_578,
        "full": 89_578,
        "alexnet": 60_965_224,
        "caffenet": 60_965_224,
        "googlenet": 6_998_552,
    },
    published=(Published("accuracy", "about 0.81", "Caffe's cifar10_full, on CIFAR-10"),),
)
