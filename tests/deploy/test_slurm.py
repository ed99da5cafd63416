"""Clusters on a real Slurm, from its login host."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ipyparallel
import psutil
import pytest

import interactive_dl as idl
from interactive_dl.cluster import _processes
from interactive_dl.errors import AllocationError, AllocationRefusedError
from tests.deploy.trainings import training

STEP_TIMEOUT_S = 120.0


@pytest.fixture(scope="module", autouse=True)
def own_ipython_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("ipython")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IPYTHONDIR", str(folder))
        patch.setenv("JUPYTERHUB_API_TOKEN", "a secret of the hub")
        yield folder


@pytest.fixture(scope="module")
def shared(own_ipython_folder: Path) -> Iterator[idl.Cluster]:
    with _cluster(nodes=2, engines_per_node=2, interface="eth0", restart=False) as cluster:
        yield cluster
    _assert_nothing_is_left()


@pytest.fixture
def cluster(shared: idl.Cluster) -> idl.Cluster:
    """Two engines on each of two nodes; tests may end them."""
    if shared.state.name != "ready":
        shared.restart()
    return shared


def _cluster(**request: Any) -> idl.Cluster:
    return idl.Cluster("slurm", start_timeout_s=60.0, **{"walltime_min": 10, **request})


def test_engines_on_two_nodes_are_one_world_and_train(cluster: idl.Cluster) -> None:
    assert [engine.host for engine in cluster.engines] == ["n1", "n1", "n2", "n2"]
    results = cluster.client[:].apply_async(_one_step).get(timeout=STEP_TIMEOUT_S)
    assert [told["local_rank"] for told in results] == [0, 1, 0, 1]
    assert {told["sum"] for told in results} == {6}
    assert len({told["weights"] for told in results}) == 1
    assert cluster.runs["two-nodes"].state == "finished"


def test_groups_lie_on_one_node_or_across(cluster: idl.Cluster) -> None:
    for members in ([2, 3], [0, 2], [1, 2, 3]):
        view = cluster.client.direct_view(members)
        told = view.apply_async(_group_sum).get(timeout=STEP_TIMEOUT_S)
        assert told == [sum(members)] * len(members)


def test_nodes_get_on_their_own_storage_what_is_read_once(
    cluster: idl.Cluster, tmp_path: Path
) -> None:
    """``/mnt`` is another on each virtual host."""
    original = tmp_path / "events.bin"
    original.write_bytes(os.urandom(1_000_001))
    told = cluster.client[:].apply_async(_staged, str(original)).get(timeout=STEP_TIMEOUT_S)
    assert {one["content"] for one in told} == {original.read_bytes()}
    assert sum(one["read"] for one in told) == sum(one["received"] for one in told) == 1_000_001
    assert max(one["read"] for one in told) == 250_001
    assert [one["there"] for one in told] == [["n1"], ["n1"], ["n2"], ["n2"]]


def test_its_state_tells_nodes_and_time_left(cluster: idl.Cluster) -> None:
    assert cluster.state.name == "ready"
    assert "on n[1-2]" in cluster.state.reason
    assert "min left" in cluster.state.reason


def test_another_process_attaches(cluster: idl.Cluster) -> None:
    code = (
        "import os, interactive_dl as idl;"
        f"cluster = idl.Cluster.attach({cluster.id!r});"
        "print(cluster.state, cluster.client[:].apply_sync(os.getpid))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.startswith("ready: Job")
    assert all(str(engine.pid) in done.stdout for engine in cluster.engines)


def test_a_process_on_another_host_attaches_and_searches(
    cluster: idl.Cluster, tmp_path: Path
) -> None:
    script = tmp_path / "afar.py"
    script.write_text(_AFAR.format(cluster=cluster.id))
    told = _output(["srun", "--nodelist=n3", "--immediate=20", sys.executable, str(script)])
    host, state, *pids, ended, driver = told.splitlines()
    assert host == "n3"
    assert state.startswith(f"ready [('{cluster.id}', 'ready', 'login')]")
    assert set(map(int, pids)) == {engine.pid for engine in cluster.engines}
    assert (ended, driver) == ("finished", "login")
    assert idl.Search.attach("afar", cluster=cluster).state == "finished"


def test_engines_get_nothing_of_the_hub(cluster: idl.Cluster) -> None:
    names = cluster.client[:].apply_async(_variables).get(timeout=STEP_TIMEOUT_S)
    assert all("IDL_CLUSTER" in own for own in names)
    assert not [name for own in names for name in own if name.startswith("JUPYTERHUB")]


def test_nobody_else_can_read_keys_or_connect(cluster: idl.Cluster) -> None:
    security = Path(os.environ["IPYTHONDIR"]) / "profile_default" / "security"
    connections = list(security.glob(f"ipcontroller-{cluster.id}-*.json"))
    assert len(connections) == 2
    for file in (*connections, cluster.folder / "recorder.json"):
        assert file.stat().st_mode & 0o077 == 0
    for folder in (security, cluster.folder):
        assert folder.stat().st_mode & 0o077 == 0
    assert all("curve_serverkey" in file.read_text() for file in connections)
    bound = {
        one.laddr.ip
        for process in _processes.marked(cluster.folder)
        for one in process.net_connections("inet")
        if one.status == psutil.CONN_LISTEN
    }
    assert bound <= {"10.77.0.1", "127.0.0.1"}


def test_what_trains_leaves_a_job_that_somebody_cancels(
    cluster: idl.Cluster, until: Callable[..., None], tmp_path: Path
) -> None:
    checkpoint = tmp_path / "cancelled.keras"
    cluster.client[:].execute(training("cancelled", str(checkpoint)), block=False)
    until(checkpoint.exists, "a checkpoint", timeout_s=STEP_TIMEOUT_S)
    run = cluster.runs["cancelled"]
    subprocess.run(["scancel", "--name", cluster.id], check=True)
    until(lambda: run.history.ended, "the run stops", timeout_s=5.0)
    assert (run.history.ended.outcome, "is cancelled" in run.history.ended.reason) == (
        "stopped",
        True,
    )
    until(lambda: _in_slurm(cluster) == "CANCELLED", "Slurm knows")
    until(lambda: cluster.state.name == "cancelled", "the state says so", timeout_s=3.0)


def test_a_death_on_one_node_ends_the_job_and_is_told(
    cluster: idl.Cluster, until: Callable[..., None]
) -> None:
    cluster.client[3].apply_async(os._exit, 3)
    until(lambda: _in_slurm(cluster) == "FAILED", "Slurm knows")
    first = "Engine 3 on n2 was the first to end: exit code 3."
    until(lambda: first in cluster.state.reason, "the state says why", timeout_s=3.0)
    assert cluster.state.name == "failed"


def test_it_is_stopped_from_another_host(shared: idl.Cluster, until: Callable[..., None]) -> None:
    if shared.state.name == "stopped":
        shared.start()
    idl_ = Path(sys.executable).with_name("idl")
    words = ["srun", "--nodelist=n3", "--immediate=20", str(idl_), "cluster", "stop", shared.id]
    assert _output(words) == f"{shared.id} stopped"
    assert not shared.folder.exists()
    until(lambda: not _processes.marked(shared.folder), "its processes have ended", timeout_s=5.0)
    assert shared.state.name == "stopped"
    assert not _output(["squeue", "--noheader", "--name", shared.id])


def test_a_dead_engine_of_one_node_is_replaced(until: Callable[..., None]) -> None:
    with _cluster(nodes=1, engines_per_node=2) as cluster:
        cluster.client[1].apply_async(os._exit, 3)
        until(lambda: cluster.state.name == "degraded", "the death is told")
        cluster.heal(timeout_s=60.0)
        told = cluster.client[:].apply_async(_group_sum).get(timeout=STEP_TIMEOUT_S)
        assert told == [0 + 2] * 2
        assert cluster.state.name == "ready"


def test_a_pending_job_says_why_and_is_cancelled_at_once(until: Callable[..., None]) -> None:
    words = ["sbatch", "--parsable", "--nodes=4", "--exclusive", "--output=/dev/null"]
    blocker = _output([*words, "--wrap", "sleep 300"])
    try:
        asyncio.run(_cancel_a_pending_one())
    finally:
        subprocess.run(["scancel", blocker], check=True)
    until(lambda: not _output(["squeue", "--noheader"]), "no job is left")


async def _cancel_a_pending_one() -> None:
    pending = _cluster(nodes=4)
    starting = asyncio.create_task(pending.start_async())
    deadline_s = time.monotonic() + 60.0
    while not (pending.state.name == "pending" and "(Resources)" in pending.state.reason):
        assert time.monotonic() < deadline_s, pending.state
        await asyncio.sleep(0.05)
    summary = next(one for one in idl.Cluster.list() if one.id == pending.id)
    assert summary.state == "pending"
    began_s = time.monotonic()
    await pending.stop_async()
    assert time.monotonic() - began_s < 2.0
    assert pending.state.name == "stopped"
    starting.cancel()
    await asyncio.gather(starting, return_exceptions=True)


def test_a_refused_job_is_told_in_sbatchs_words() -> None:
    refused = _cluster(partition="nowhere")
    with pytest.raises(AllocationRefusedError, match="invalid partition specified: nowhere"):
        refused.start()
    assert refused.state.name == "refused"


def test_a_job_that_can_never_start_is_told_and_cancelled() -> None:
    greedy = _cluster(partition="short", nodes=2)
    with pytest.raises(AllocationError, match="can never start"):
        greedy.start()
    assert greedy.state.name == "impossible"
    assert not _output(["squeue", "--noheader", "--name", greedy.id])


def test_a_set_up_that_fails_is_told_with_its_words() -> None:
    broken = _cluster(setup=["echo no such module; exit 7"])
    with pytest.raises(AllocationError, match=r"FAILED(.|\n)*no such module"):
        broken.start()
    assert broken.state.name == "failed"


_AFAR = """
import os
import socket

import interactive_dl as idl
from interactive_dl.search import _launching


def objective(trial):
    return trial.params["x"]


cluster = idl.Cluster.attach({cluster!r})
print(socket.gethostname())
print(cluster.state.name, [(one.id, one.state, one.host) for one in idl.Cluster.list()])
print(*cluster.client[:].apply_sync(os.getpid), sep="\\n")
search = idl.Search(objective, {{"x": idl.uniform(0, 1)}}, metric="loss", name="afar")
search.start(cluster, trials=2)
print(search.wait(60.0))
print(_launching._process(cluster.runs_folder, search.id).host)
"""
"""What somebody types on another host."""


def _in_slurm(cluster: idl.Cluster) -> str:
    words = ["squeue", "--noheader", "--states=all", "--sort=-i", "--format=%T"]
    return _output([*words, "--name", cluster.id]).partition("\n")[0]


def _assert_nothing_is_left() -> None:
    assert not _output(["squeue", "--noheader"])
    on_nodes = ["srun", "--nodes=4", "sh", "-c"]
    assert not _output([*on_nodes, "ls /dev/shm"])
    assert not _output([*on_nodes, "ps ax | grep '[i]nteractive_dl' || true"])


def _output(words: list[str]) -> str:
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True, timeout=30)
    return done.stdout.strip()


@ipyparallel.interactive
def _one_step() -> dict[str, Any]:
    """What an engine knows of its place, and the weights after one step."""
    import keras
    import numpy as np

    from interactive_dl import engine

    group = engine.init(seed=1)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile(engine.distribute(keras.optimizers.SGD(0.1)), "mse")
    own_data = np.random.default_rng(group.rank)
    x = own_data.normal(size=(8, 4)).astype("float32")
    y = own_data.normal(size=(8, 1)).astype("float32")
    model.fit(x, y, batch_size=8, verbose=0, callbacks=engine.callbacks("two-nodes"))
    weights = np.concatenate([part.ravel() for part in model.get_weights()])
    return {
        "local_rank": group.local_rank,
        "sum": group.comm.allreduce(group.rank),
        "weights": tuple(weights.tolist()),
    }


@ipyparallel.interactive
def _group_sum() -> int:
    """The sum of the members' engine ids, by MPI."""
    from interactive_dl import engine
    from interactive_dl.engine import world

    group = engine.init()
    total: int = group.comm.allreduce(world.current().my_id)
    return total


@ipyparallel.interactive
def _staged(original: str) -> dict[str, Any]:
    """What an engine read and got of a staged file, and whose marks are where the copy is."""
    from interactive_dl import data, engine

    group = engine.init()
    staged = data.stage(original, group, folder="/mnt", block_mib=0.1)
    (staged.path.parent / f"mark-{group.host}").touch()
    group.allgather(None)
    return {
        "content": staged.path.read_bytes(),
        "read": staged.read_bytes,
        "received": staged.received_bytes,
        "there": sorted(mark.name[5:] for mark in staged.path.parent.glob("mark-*")),
    }


@ipyparallel.interactive
def _variables() -> list[str]:
    import os

    return sorted(os.environ)
