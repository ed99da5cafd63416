"""Engines on four nodes without MPI: a rank is killed and replaced, a node is cut off, and the
others go on.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import interactive_dl as idl
from interactive_dl.telemetry.run import Run
from tests.deploy import drills
from tests.deploy.trainings import training

LONGEST_S = 20.0
WARN_MIN = 12
LATER_S = 10
"""After Slurm would warn, what runs without a steward is asked to leave."""
ASKED_S = 35
"""From the change of the job's time on; before, the recorder is told, and the others go on."""
TO_BE_ASKED = "What runs here is asked to leave"


@pytest.fixture(scope="module")
def four(tmp_path_factory: pytest.TempPathFactory) -> Iterator[idl.Cluster]:
    """One engine on each of four nodes, in a job that Slurm does not warn."""
    folder = tmp_path_factory.mktemp("gloo")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IPYTHONDIR", str(folder / "ipython"))
        patch.setenv("IDL_RUNS", str(folder / "runs"))
        asked = {"walltime_min": 15, "warn_min": WARN_MIN, "omit_directives": ["signal"]}
        with idl.Cluster(
            "slurm", nodes=4, interface="eth0", collectives="gloo", **asked
        ) as cluster:
            yield cluster


def test_a_rank_is_lost_and_replaced_and_then_a_node_and_the_others_go_on(
    four: idl.Cluster, until: Callable[..., None], link: Callable[..., None], tmp_path: Path
) -> None:
    four.client[:].execute(training("elastic", str(tmp_path / "elastic.keras")), block=False)
    until(lambda: "elastic" in {one.name for one in four.runs.summaries()}, "it begins", 60.0)
    run = four.runs["elastic"]
    until(lambda: run.history.epoch > 1, "it trains", 60.0)
    _kill(four, 1)
    _assert_goes_on(run, until, engines=(0, 2, 3))
    run.grow(timeout_s=120.0)
    _assert_goes_on(run, until, engines=(0, 2, 3, 4))
    assert four.engines[-1].host == four.engines[0].host == "n1"
    link("n4", "down")
    _assert_goes_on(run, until, engines=(0, 2, 4))
    assert [death.engine for death in four.deaths] == [1, 3]
    assert "cut off" in four.deaths[1].reason
    link("n4", "up")
    until(lambda: not _engines_on("n4"), "what was cut off ends", timeout_s=10.0)
    run.stop()
    assert run.wait(20.0) == "stopped"
    assert _engines_on("n1")
    _the_first_node_is_lost(four, until, link, tmp_path / "first.keras")


def _the_first_node_is_lost(
    four: idl.Cluster, until: Callable[..., None], link: Callable[..., None], checkpoint: Path
) -> None:
    """The node from which engines are started and looked after; what runs elsewhere goes on, until
    it is asked to leave before the end of the job, which is another one by then.
    """
    four.client[[0, 2]].execute(training("headless", str(checkpoint)), block=False)
    until(checkpoint.exists, "a checkpoint", 60.0)
    run = four.runs["headless"]
    log = four.folder / "mpiexec.log"
    assert log.read_text().count(TO_BE_ASKED) == 1
    drills.end_in(four, 60 * WARN_MIN - LATER_S + ASKED_S)
    until(lambda: log.read_text().count(TO_BE_ASKED) == 2, "the recorder is told", 15.0)
    link("n1", "down")
    try:
        until(lambda: "No answer from n1" in four.state.reason, "it is named", 10.0)
        assert "not started again. Type: cluster.renew()" in four.state.reason
        until(lambda: run.history.ended, "the run ends", timeout_s=60.0)
        assert run.history.ended.outcome == "stopped"
        assert " ends in 12 min" in run.history.ended.reason
        assert run.history.groups[-1].engines == (2,)
    finally:
        link("n1", "up")
    until(lambda: not _engines_on("n1"), "what was cut off ends", timeout_s=30.0)
    for node in ("n1", "n4"):
        drills.sweep(node)


def _assert_goes_on(run: Run, until: Callable[..., None], engines: tuple[int, ...]) -> None:
    """The others train, at most so long after the loss."""
    began_s = time.monotonic()

    def trains() -> bool:
        changes = run.history.groups
        return bool(changes) and changes[-1].engines == engines

    until(trains, f"engines {engines} form a group", timeout_s=LONGEST_S)
    step = run.history.step
    left_s = LONGEST_S - (time.monotonic() - began_s)
    until(lambda: run.history.step > step, "they train", timeout_s=left_s)


def _kill(cluster: idl.Cluster, engine: int) -> None:
    """From its own node: a host sees no other's processes."""
    victim = cluster.engines[engine]
    words = ["srun", "--overlap", "--immediate=20", f"--nodelist={victim.host}", "--ntasks=1"]
    subprocess.run([*words, "kill", "-9", str(victim.pid)], check=True)


def _engines_on(node: str) -> str:
    words = ["srun", "--overlap", f"--nodelist={node}", "--ntasks=1", "sh", "-c"]
    looking = [*words, "ps axww | grep '[i]nteractive_dl.engine._process' || true"]
    return subprocess.run(looking, capture_output=True, text=True, check=True).stdout
