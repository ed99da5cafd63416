"""CosmoGAN as a case."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interactive_dl.science.cosmogan import judging, maps, sources
from interactive_dl.science.cosmogan.config import FULL_SIZE, LAPTOP, Config
from interactive_dl.science.definition import Bound, Case, Task
from interactive_dl.science.training import fit

if TYPE_CHECKING:
    import keras


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
    from interactive_dl.science.cosmogan.keep_best import KeepBest

    def badness(model: Any) -> float:
        return judging.badness(judging.judge(model, task.config, task.folder, "val"))

    return fit(task, callbacks=[KeepBest(task.group, badness)])


CASE = Case(
    name="cosmogan",
    title="maps of weak lensing that a network dreams up",
    source="arXiv:1706.02390, MustafaMustafa/cosmoGAN",
    differs="log-normal fields instead of maps from N-body simulations, 16x16 pixels instead of"
    " 256x256, two layers in each network instead of four; what is kept is chosen by a rule",
    sizes={"laptop": LAPTOP, "full": FULL_SIZE},
    data_fields=("size", "cutoff", "amplitudes", "train", "val", "test"),
    write=write,
    open=sources.open,
    build_model=build_model,
    compile=compile,
    train=train,
    score=judging.judge,
    gate=(
        Bound("histogram", "<=", judging.HISTOGRAM_GATE),
        Bound("spectrum", "<=", judging.SPECTRUM_GATE),
        Bound("variety", ">=", judging.VARIETY_GATE),
    ),
    controls=("untrained",),
)
