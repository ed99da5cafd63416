"""The end of an allocation, and of a world of engines in one, on a real Slurm."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import interactive_dl as idl
from interactive_dl.telemetry.run import Run
from tests.deploy.trainings import training

STEP_TIMEOUT_S = 120.0


@pytest.fixture(scope="module", autouse=True)
def own_folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("walltime")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IPYTHONDIR", str(folder / "ipython"))
        patch.setenv("IDL_RUNS", str(folder / "runs"))
        yield folder


def test_a_training_writes_a_checkpoint_and_stops_before_its_time_is_over(
    own_folders: Path, until: Callable[..., None]
) -> None:
    with _cluster(nodes=2, walltime_min=1, warn_min=0.75) as cluster:
        run = _train(cluster, "warned", own_folders / "warned.keras", until)
        until(lambda: run.history.ended, "the run stops", timeout_s=50.0)
        _assert_left_in_order(run, "ends in")
        assert "Type: cluster.renew()" in cluster.state.reason


def test_a_rank_that_dies_and_a_job_that_is_cancelled_cost_no_more_than_a_moment(
    own_folders: Path, until: Callable[..., None]
) -> None:
    with _cluster(nodes=2) as cluster:
        run = _train(cluster, "struck", own_folders / "struck.keras", until)
        _kill(cluster, 1)
        until(lambda: "SIGKILL" in cluster.state.reason, "the death is named", timeout_s=5.0)
        again = _resumed(cluster, run, until)
        assert again.history.started.engines == (2, 3)
        assert again.history.started.first_epoch >= 1
        assert cluster.state.name == "ready"
        subprocess.run(["scancel", "--name", cluster.id], check=True)
        until(lambda: again.history.ended, "the run stops", timeout_s=5.0)
        _assert_left_in_order(again, "is cancelled")
        until(lambda: cluster.state.name == "cancelled", "the state says so", timeout_s=10.0)


def _cluster(**request: Any) -> idl.Cluster:
    return idl.Cluster("slurm", start_timeout_s=60.0, **{"walltime_min": 10, **request})


def _train(cluster: idl.Cluster, name: str, checkpoint: Path, until: Callable[..., None]) -> Run:
    """Begin a training on all engines, and wait for its first checkpoint."""
    cluster.client[:].execute(training(name, str(checkpoint)), block=False)
    until(lambda: name in {run.name for run in cluster.runs.summaries()}, f"{name} begins", 60.0)
    until(checkpoint.exists, "its first checkpoint", 60.0)
    return cluster.runs[name]


def _resumed(cluster: idl.Cluster, run: Run, until: Callable[..., None]) -> Run:
    """The run that goes on after another, once it has done a step."""
    until(lambda: cluster.runs[run.name].id != run.id, "it begins again", timeout_s=60.0)
    again = cluster.runs[run.name]
    until(lambda: _trained_epochs(again) > 0, "it trains", 60.0)
    return again


def _trained_epochs(run: Run) -> int:
    started = run.history.started
    return run.history.epoch - started.first_epoch if started is not None else 0


def _kill(cluster: idl.Cluster, engine: int) -> None:
    """End an engine from its own node."""
    found = next(one for one in cluster.engines if one.id == engine)
    words = ["srun", f"--nodelist={found.host}", "--overlap", "kill", "-KILL", str(found.pid)]
    subprocess.run(words, check=True, timeout=30)


def _assert_left_in_order(run: Run, why: str) -> None:
    ended = run.history.ended
    assert (ended.outcome, why in ended.reason) == ("stopped", True), ended
