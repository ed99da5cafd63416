"""A case on real ranks: one verdict for all, and one error for all."""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from models import dense, loss

from interactive_dl import data, science
from interactive_dl.science.config import Training
from interactive_dl.science.definition import Bound, predictions


@dataclass(frozen=True)
class Config(Training):
    learning_rate: float = 0.5
    warmup_epochs: float = 1
    batch_size: int = 8
    epochs: int = 8
    decay: tuple[tuple[int, float], ...] = ((6, 0.5),)


def write(config, folder, seed):
    rng = np.random.default_rng(seed)
    for split, samples in {"train": 96, "val": 16, "test": 64}.items():
        x = rng.normal(size=(samples, 6)).astype("float32")
        np.savez(folder / f"{split}.npz", x=x, y=x[:, :4].argmax(axis=1))


def compile(model, config, distribute):
    model.compile(distribute(keras.optimizers.SGD(config.learning_rate)), loss())


def score(predictor, config, folder):
    test = data.open(folder, "test")
    answers = predictions(predictor, test, 64).argmax(axis=1)
    return {"accuracy": float(np.mean(answers == test.arrays()[1]))}


TOY = science.Case(
    name="toy",
    title="which of four numbers is the largest",
    source="",
    differs="",
    sizes={"laptop": Config(), "full": Config()},
    data_fields=(),
    write=write,
    open=data.open,
    build_model=lambda config: dense(),
    compile=compile,
    score=score,
    gate=(Bound("accuracy", ">=", 0.75),),
)


def test_all_ranks_learn_together_and_have_one_verdict(group, shared_path):
    result = science.run(TOY, cache=shared_path)
    assert result.passed, result.metrics
    assert result.ranks == group.size
    told = group.allgather((result.metrics, result.missed, str(result.folder)))
    assert all(each == told[0] for each in told)


@pytest.mark.parametrize("control", ["untrained", "shuffled", "constant"])
def test_what_cannot_have_learned_does_not_pass(shared_path, control):
    result = science.run(TOY, control=control, cache=shared_path)
    assert not result.passed, result.metrics
    assert result.as_expected


@pytest.mark.parametrize("scaling", ["strong", "weak"])
def test_a_batch_is_shared_or_multiplied(group, shared_path, scaling):
    tasks, rates = [], []

    def train(task):
        tasks.append(task)
        model = science.fit(task)
        rates.append(float(keras.ops.convert_to_numpy(model.optimizer.learning_rate)))
        return model

    science.run(replace(TOY, train=train), scaling=scaling, cache=shared_path)
    factor = group.size if scaling == "weak" else 1
    assert tasks[0].batch_size * group.size == 8 * factor
    assert tasks[0].config.learning_rate == 0.5 * factor
    assert rates == pytest.approx([0.25 * factor]), "it has decayed"
    assert tasks[0].config.warmup_epochs == (1 if scaling == "weak" else 0)


def test_the_verdict_is_that_of_the_ranks_that_are_left(group, shared_path, monkeypatch):
    left = SimpleNamespace(rank=0, size=1, broadcast=lambda value: value)

    def train(task):
        model = science.fit(task)
        monkeypatch.setattr("interactive_dl.engine.group.current", lambda: left)
        return model

    assert science.run(replace(TOY, train=train), cache=shared_path).ranks == 1


def test_samples_that_cannot_be_generated_are_one_error_on_all_ranks(group, shared_path):
    def write(config, folder, seed):
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="the disk is full"):
        science.run(replace(TOY, write=write), cache=shared_path)
