"""What every case has; how one is found, its samples are kept, and its gate judges."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from interactive_dl import data, science
from interactive_dl.errors import UnknownCaseError, UnknownSizeError
from interactive_dl.science import cache
from interactive_dl.science.config import Training
from interactive_dl.science.definition import Bound, Constant, commonest, missed, predictions
from interactive_dl.science.training import with_shuffled_labels

EACH = pytest.mark.parametrize("case", science.cases(), ids=lambda case: case.name)
PUBLISHED = [(case, size) for case in science.cases() for size in case.parameters]


@dataclass(frozen=True)
class Config(Training):
    samples: int = 4
    learning_rate: float = 0.1
    warmup_epochs: float = 0
    batch_size: int = 2
    epochs: int = 1


def case(**changes: Any) -> science.Case[Config]:
    def write(config: Config, folder: Path, seed: int) -> None:
        np.savez(folder / "train.npz", x=np.full(config.samples, seed), y=np.zeros(config.samples))

    toy: science.Case[Config] = science.Case(
        name="toy",
        title="",
        source="",
        differs="",
        sizes={"laptop": Config(), "full": Config(samples=400)},
        data_fields=("samples",),
        write=write,
        open=data.open,
        build_model=lambda config: None,  # type: ignore[arg-type,return-value]
        compile=lambda model, config, distribute: None,
        score=lambda predictor, config, folder: {},
        gate=(),
    )
    return replace(toy, **changes)


@EACH
def test_a_case_has_two_sizes_and_a_gate(case: science.Case[Any]) -> None:
    assert {"laptop", "full"} <= set(case.sizes)
    assert case.gate
    assert set(case.proofs) <= set(case.sizes)
    assert science.case(case.name) is case


@EACH
def test_the_samples_depend_on_fields_that_there_are(case: science.Case[Any]) -> None:
    for config in case.sizes.values():
        json.dumps(case.recipe(config, seed=0))


@pytest.mark.parametrize(
    ("case", "size"), PUBLISHED, ids=[f"{case.name}-{size}" for case, size in PUBLISHED]
)
def test_a_network_has_its_published_size(case: science.Case[Any], size: str) -> None:
    assert case.build_model(case.config(size)).count_params() == case.parameters[size]


def test_listing_the_cases_loads_no_framework() -> None:
    program = (
        "import sys; from interactive_dl.bench.case import listing; listing();"
        "print(sorted({'keras', 'tensorflow', 'torch', 'mpi4py', 'sklearn'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_an_unknown_case_is_answered_with_those_there_are() -> None:
    with pytest.raises(UnknownCaseError, match=r"no case 'rvp'; there are digits, rpv"):
        science.case("rvp")


def test_an_unknown_size_is_answered_with_those_there_are() -> None:
    with pytest.raises(UnknownSizeError, match="toy has the sizes laptop, full, but got 'huge'"):
        case().config("huge")


def test_a_gate_says_which_conditions_do_not_hold() -> None:
    gate = (Bound("auc", ">=", 0.8), Bound("distance", "<=", 0.15))
    assert missed(gate, {"auc": 0.8, "distance": 0.15}) == ()
    assert missed(gate, {"auc": 0.75, "distance": 0.1}) == (
        "auc >= 0.8 does not hold: auc is 0.75",
    )
    assert len(missed(gate, {"auc": 0.79, "distance": 0.16})) == 2
    assert len(missed(gate, {"auc": float("nan"), "distance": float("nan")})) == 2


def test_a_result_shows_its_metrics_beside_the_gate_also_where_its_network_is_not() -> None:
    result = science.Result(
        case="toy",
        size="laptop",
        seed=1,
        control=None,
        ranks=2,
        parameters=7,
        metrics={"auc": 0.75, "distance": 0.125, "accuracy": 0.7},
        gate=(Bound("auc", ">=", 0.8), Bound("distance", "<=", 0.15)),
        data_s=0,
        training_s=0,
        scoring_s=0,
        folder=Path(),
        model=lambda: None,  # a network that cannot be sent
    )
    sent = pickle.loads(pickle.dumps(result.without_model()))
    assert [line.split() for line in sent.table().splitlines()[:-1]] == [
        ["metric", "value", "gate"],
        ["auc", "0.75", ">=", "0.8"],
        ["distance", "0.125", "<=", "0.15"],
        ["accuracy", "0.7"],
    ]
    assert sent.table().endswith("\ngate: failed; auc >= 0.8 does not hold: auc is 0.75")
    assert not sent.passed
    better = replace(sent, metrics={**sent.metrics, "auc": 0.8})
    assert better.table().endswith("\ngate: passed")


def test_samples_are_generated_once_for_each_recipe(tmp_path: Path) -> None:
    written: list[int] = []
    toy = case()

    def write(config: Config, folder: Path, seed: int) -> None:
        written.append(seed)
        toy.write(config, folder, seed)

    counting = replace(toy, write=write)
    config = counting.config("laptop")
    first = cache.prepare(counting, config, 0, tmp_path)
    assert cache.prepare(counting, config, 0, tmp_path) == first
    others = [
        cache.prepare(counting, config, 1, tmp_path),
        cache.prepare(counting, replace(config, samples=5), 0, tmp_path),
        cache.prepare(replace(counting, generator=2), config, 0, tmp_path),
    ]
    assert cache.prepare(counting, replace(config, epochs=9), 0, tmp_path) == first
    assert len({first, *others}) == 4
    assert written == [0, 1, 0, 0]
    assert json.loads((first / cache.RECIPE).read_text())["samples"] == 4


def test_an_interrupted_generation_leaves_nothing(tmp_path: Path) -> None:
    def write(config: Config, folder: Path, seed: int) -> None:
        (folder / "half.npz").touch()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cache.prepare(case(write=write), Config(), 0, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_of_two_that_generate_the_same_samples_the_first_is_kept(tmp_path: Path) -> None:
    def write(config: Config, folder: Path, seed: int) -> None:
        np.savez(folder / "train.npz", x=np.arange(3))
        first = tmp_path / folder.name.split(".")[1]
        first.mkdir()
        (first / "of the other").touch()

    folder = cache.prepare(case(write=write), Config(), 0, tmp_path)
    assert list(tmp_path.iterdir()) == [folder]
    assert [path.name for path in folder.iterdir()] == ["of the other"]


def test_the_commonest_answer_is_the_mean_of_numbers_and_the_frequencies_of_classes() -> None:
    np.testing.assert_allclose(commonest(np.array([0.0, 1.0, 1.0]), (1,)), [2 / 3])
    np.testing.assert_allclose(commonest(np.array([[0.0, 4.0], [2.0, 0.0]]), (2,)), [1, 2])
    np.testing.assert_allclose(commonest(np.array([0, 2, 2, 2]), (3,)), [0.25, 0, 0.75])
    masks = np.array([[[0, 1], [1, 1]]])
    np.testing.assert_allclose(commonest(masks, (2, 2, 2))[1, 0], [0.25, 0.75])


def test_a_constant_answers_every_sample_alike() -> None:
    samples = data.from_arrays(np.zeros((5, 2)), np.zeros(5))
    answers = predictions(Constant(np.array([0.25, 0.75])), samples, batch_size=2)
    assert answers.shape == (5, 2)
    assert (answers == [0.25, 0.75]).all()


def test_shuffled_labels_are_the_same_ones_elsewhere() -> None:
    x, y = np.arange(50.0), np.arange(50.0)
    shuffled_x, shuffled_y = with_shuffled_labels(data.from_arrays(x, y), seed=1).arrays()
    np.testing.assert_array_equal(shuffled_x, x)
    assert sorted(shuffled_y) == list(y)
    assert (shuffled_y != y).sum() > 40
