"""The end of an allocation, and of a world of engines in one, on a real Slurm."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import interactive_dl as idl
from interactive_dl.telemetry.run import Run
from tests.deploy import drills
from tests.deploy.trainings import training

Until = Callable[..., None]


@pytest.fixture(scope="module", autouse=True)
def qualities_of_service() -> Iterator[None]:
    """One whose jobs make room for those of another, after some seconds."""
    drills.let_jobs_make_room()
    yield
    drills.accounting("delete qos urgent,yielding")


@pytest.fixture(scope="module", autouse=True)
def own_folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("walltime")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IPYTHONDIR", str(folder / "ipython"))
        patch.setenv("IDL_RUNS", str(folder / "runs"))
        yield folder


def test_what_runs_leaves_before_the_time_is_over_and_goes_on_in_a_follow_on(
    own_folders: Path, until: Until
) -> None:
    with _cluster(nodes=2, walltime_min=1, warn_min=0.75) as cluster:
        run = _train(cluster, "warned", own_folders / "warned.keras", until)
        until(lambda: run.history.ended, "the run stops", timeout_s=50.0)
        _assert_left_in_order(run, "ends in")
        assert "Type: cluster.renew()" in cluster.state.reason
        subprocess.run(["scancel", "--name", cluster.id], check=True)
        until(lambda: cluster.state.name == "cancelled", "it has ended", timeout_s=40.0)
        cluster.renew(walltime_min=10, warn_min=None)
        again = _resumed(cluster, run, until)
        assert again.history.started.engines == (2, 3)
        assert again.history.started.first_step == run.history.step
        assert cluster.state.name == "ready"
        assert len(_jobs()) == 1
        again.stop()
        again.wait(30.0)
        _a_search_moves_to_a_smaller_allocation(cluster, own_folders / "moved", until)


def _a_search_moves_to_a_smaller_allocation(cluster: idl.Cluster, mark: Path, until: Until) -> None:
    space = {"x": idl.uniform(0, 1), "mark": str(mark)}
    search = idl.Search(_objective, space, metric="loss", name="moved")
    search.start(cluster, trials=4)
    until(lambda: len(search.book.running) == 2, "trials run", timeout_s=30.0)
    cluster.renew(nodes=1)
    mark.touch()
    assert search.wait(60.0) == "finished"
    attempts = [attempt for trial in search.book.trials for attempt in trial.attempts]
    assert {engine for attempt in attempts for engine in attempt.engines} == {2, 3, 4}
    assert [trial.crashes for trial in search.book.trials] == [0] * 4
    assert (cluster.size, cluster.state.name) == (1, "ready")
    # Those of the allocation before had been ended with it.
    assert {death.engine for death in cluster.deaths} <= {0, 1}
    search.close()


def test_a_training_goes_on_after_deaths_on_what_is_left_of_its_allocation(
    own_folders: Path, until: Until, link: Callable[..., None]
) -> None:
    with _cluster(nodes=3, qos="yielding") as cluster:
        run = _train(cluster, "struck", own_folders / "struck.keras", until)
        drills.kill(cluster, 1)
        until(lambda: "SIGKILL" in cluster.state.reason, "the death is named", timeout_s=5.0)
        run = _resumed(cluster, run, until)
        assert run.history.started.engines == (3, 4, 5)
        assert cluster.state.name == "ready"
        drills.drain("n3")
        until(lambda: "n3 is drain" in cluster.state.reason, "the drain is named", timeout_s=5.0)
        try:
            link("n2", "down")
            until(lambda: "No answer from n2" in cluster.state.reason, "it is named", 5.0)
            run = _resumed(cluster, run, until)
        finally:
            link("n2", "up")
            drills.undrain("n3")
        assert run.history.started.engines == (6,)
        assert run.history.started.hosts == ("n1",)
        assert (cluster.size, list(cluster.client.ids)) == (1, [6])
        until(lambda: not drills.orphans("n2"), "no orphan is left on n2", timeout_s=30.0)
        _it_makes_room_for_another_job(cluster, run, until)


def _it_makes_room_for_another_job(cluster: idl.Cluster, run: Run, until: Until) -> None:
    drills.displace("n1")
    until(lambda: run.history.ended, "the run stops", timeout_s=10.0)
    _assert_left_in_order(run, "makes room for another, and ends in")
    assert cluster.state.name == "ready"
    assert "makes room for another" in cluster.state.reason
    until(lambda: cluster.state.name == "pre-empted", "the state says so", timeout_s=40.0)
    assert "Type: cluster.renew()" in cluster.state.reason
    until(lambda: not _jobs(), "the other job has run")
    assert not drills.orphans("n1")


def _objective(trial: Any) -> float:
    """Work until there is a certain file."""
    import itertools
    import time
    from pathlib import Path

    for step in itertools.count():
        trial.report(step, loss=trial.params["x"])
        if Path(trial.params["mark"]).exists():
            break
        time.sleep(0.1)
    return float(trial.params["x"])


def _cluster(**request: Any) -> idl.Cluster:
    return idl.Cluster("slurm", start_timeout_s=60.0, **{"walltime_min": 10, **request})


def _train(cluster: idl.Cluster, name: str, checkpoint: Path, until: Until) -> Run:
    """Begin a training on all engines, and wait for its first checkpoint."""
    cluster.client[:].execute(training(name, str(checkpoint)), block=False)
    until(lambda: name in {run.name for run in cluster.runs.summaries()}, f"{name} begins", 60.0)
    until(checkpoint.exists, "its first checkpoint", 60.0)
    return cluster.runs[name]


def _resumed(cluster: idl.Cluster, run: Run, until: Until) -> Run:
    """The run that goes on after another, from its checkpoint, once it has trained."""
    until(lambda: cluster.runs[run.name].id != run.id, "it begins again", timeout_s=150.0)
    again = cluster.runs[run.name]
    until(lambda: drills.epochs_since_it_began(again) > 0, "it trains", 90.0)
    assert again.history.started.first_step >= 1
    return again


def _jobs() -> list[str]:
    words = ["squeue", "--noheader", "--states=RUNNING,PENDING", "--format=%i"]
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True, timeout=30)
    return done.stdout.split()


def _assert_left_in_order(run: Run, why: str) -> None:
    ended = run.history.ended
    assert (ended.outcome, why in ended.reason) == ("stopped", True), ended
