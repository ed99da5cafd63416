"""CosmoGAN as a case."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from interactive_dl.science.cosmogan import judging, maps, sources
from interactive_dl.science.cosmogan.config import (
    FULL_CONDITIONAL,
    FULL_SIZE,
    LAPTOP,
    LAPTOP_CONDITIONAL,
    Config,
)
from interactive_dl.science.definition import Bound, Case, Predictor, Proof, Task
from interactive_dl.science.training import fit

if TYPE_CHECKING:
    import keras

    from interactive_dl.data import Dataset


def write(config: Config, folder: Path, seed: int) -> None:
    """Generate the maps of all splits."""
    maps.write_splits(config, folder, seed)


def build_model(config: Config) -> keras.Model:
    """Both networks of a configuration."""
    from interactive_dl.science.cosmogan.model import CosmoGAN

    return CosmoGAN(config)


def compile(model: Any, config: Config, distribute: Callable[[Any], Any]) -> None:
    """An Adam for each network, both of which go through ``distribute``."""
    from interactive_dl.science.cosmogan.model import adam

    model.compile(
        distribute(adam(config.learning_rate)),
        distribute(adam(config.learning_rate)),
        jit_compile=False,
    )


def train(task: Task[Config]) -> keras.Model:
    """Both networks against each other; of all epochs the one with the best maps is kept."""
    from interactive_dl import engine
    from interactive_dl.science.cosmogan.keep_best import KeepBest

    def badness(model: Any) -> float:
        return judging.badness(judging.judge(model, task.config, task.folder, "val"))

    return fit(task, callbacks=[KeepBest(engine.current, badness)])


def score(predictor: Predictor, config: Config, folder: Path) -> dict[str, float]:
    """The test maps' statistics, and where amplitudes are held out, how well these are met."""
    judged = judging.judge_between if config.held_out else judging.judge
    return judged(predictor, config, folder)


def pixels(samples: Dataset) -> np.ndarray:
    """Real maps: what a generator is to answer with."""
    return samples.arrays()[0]


GATE = (
    Bound("histogram", "<=", judging.HISTOGRAM_GATE),
    Bound("spectrum", "<=", judging.SPECTRUM_GATE),
    Bound("variety", ">=", judging.VARIETY_GATE),
)
INTERPOLATES = Proof(
    (
        *GATE,
        Bound("amplitude", "<=", judging.AMPLITUDE_GATE),
        Bound("scatter", "<=", judging.SCATTER_GATE),
        Bound("histogram_of_neighbours", "<=", judging.NEIGHBOURS_GATE),
        Bound("spectrum_of_neighbours", "<=", judging.NEIGHBOURS_GATE),
    )
)
"""At amplitudes that nobody trained on: right, closer than any maps of the neighbours are, and no
mixture of these."""

CASE = Case(
    name="cosmogan",
    title="maps of weak lensing that a network dreams up",
    source="arXiv:1706.02390, MustafaMustafa/cosmoGAN; told a parameter: EPJ Web Conf. 214, 09005",
    differs="log-normal fields instead of maps from N-body simulations, 16x16 pixels instead of"
    " 256x256, two layers in each network instead of four; what is kept is chosen by a rule; the"
    " parameter is the field's amplitude instead of two masses",
    sizes={
        "laptop": LAPTOP,
        "laptop_conditional": LAPTOP_CONDITIONAL,
        "full": FULL_SIZE,
        "full_conditional": FULL_CONDITIONAL,
    },
    data_fields=("size", "cutoff", "amplitudes", "held_out", "train", "val", "test"),
    write=write,
    open=sources.open,
    build_model=build_model,
    compile=compile,
    train=train,
    score=score,
    gate=GATE,
    controls=("untrained",),
    proofs={"laptop_conditional": INTERPOLATES, "full_conditional": INTERPOLATES},
    truth=pixels,
)
