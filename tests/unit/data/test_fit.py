"""What a model sees when ``fit`` is handed our batches, on each Keras backend."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from interactive_dl import data

PROGRAM = Path(__file__).with_name("fit_program.py")
STEPS = 7


@pytest.fixture(scope="module", params=["tensorflow", "torch"])
def report(request: pytest.FixtureRequest) -> dict[str, Any]:
    if importlib.util.find_spec(request.param) is None:
        pytest.skip(f"{request.param} is not installed")
    environment = {**os.environ, "KERAS_BACKEND": request.param, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, PROGRAM], env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def expected(epochs: range, samples: int = 50) -> list[list[int]]:
    x = np.arange(samples)
    batches = data.from_arrays(x, x).shard(seed=5)
    plan = batches.plan(8)
    return [
        batches.order(epoch)[plan.share(step, 0)].tolist()
        for epoch in epochs
        for step in range(plan.steps)
    ]


def flat_sorted(batches: list[list[int]]) -> list[int]:
    return sorted(number for batch in batches for number in batch)


def test_every_sample_is_seen_once_per_epoch(report: dict[str, Any]) -> None:
    seen = report["uninterrupted"]
    assert len(seen) == 4 * STEPS
    for epoch in range(4):
        assert flat_sorted(seen[epoch * STEPS : (epoch + 1) * STEPS]) == list(range(50))


def test_the_model_sees_the_order_of_each_epoch(report: dict[str, Any]) -> None:
    assert report["uninterrupted"] == expected(range(4))


def test_a_resumed_fit_goes_on_in_the_order_of_an_uninterrupted_one(report: dict[str, Any]) -> None:
    assert report["resumed"] == report["uninterrupted"][2 * STEPS :]


def test_readers_change_nothing_in_what_the_model_sees(report: dict[str, Any]) -> None:
    assert report["read by two readers"] == report["uninterrupted"][: 2 * STEPS]


def test_steps_per_epoch_cuts_a_pass_into_epochs_without_changing_its_order(
    report: dict[str, Any],
) -> None:
    assert report["a few steps per epoch"][:STEPS] == expected(range(1))


def test_fit_goes_through_the_epochs_by_itself(report: dict[str, Any]) -> None:
    assert report["untold"] == report["uninterrupted"]
    assert report["epoch after the untold"] == 4


def test_epochs_of_few_batches_keep_their_order_too(report: dict[str, Any]) -> None:
    assert report["two batches"] == expected(range(3), samples=16)


def test_validation_sees_each_of_its_samples_once_per_epoch(report: dict[str, Any]) -> None:
    seen = report["validation"]
    assert len(seen) == 2 * 3
    assert flat_sorted(seen[:3]) == flat_sorted(seen[3:]) == list(range(20))


def test_validation_does_not_disturb_the_training_order(report: dict[str, Any]) -> None:
    assert report["training beside validation"] == report["uninterrupted"][: 2 * STEPS]


def test_compiled_steps_see_every_sample(report: dict[str, Any]) -> None:
    assert report["compiled loss"] == pytest.approx(np.mean(np.arange(50.0) ** 2), rel=1e-5)
