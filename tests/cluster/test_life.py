"""A cluster is started, reached from elsewhere, restarted and stopped."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ipyparallel
import pytest

from interactive_dl.cluster import Cluster, _preflight, _processes
from interactive_dl.cluster.environment import available_cores
from interactive_dl.errors import (
    ClusterError,
    ClusterNotFoundError,
    ClusterNotRunningError,
    EnginesNotRegisteredError,
    HealError,
    WorldSizeError,
)

# Each rank starts alone, as under the mpiexec of another MPI that names ranks in the same way.
ANOTHER_MPIS_MPIEXEC = f"""import os, subprocess, sys
program = sys.argv[sys.argv.index({sys.executable!r}):]
started = [
    subprocess.Popen(program, env={{**os.environ, "OMPI_COMM_WORLD_RANK": str(rank)}})
    for rank in range(2)
]
sys.exit(max(one.wait() for one in started))
"""
STARTS_NOTHING = "import signal\nsignal.pause()\n"


@ipyparallel.interactive
def _world() -> tuple[int, int, int]:
    from mpi4py import MPI

    from interactive_dl.engine import world

    return world.current().my_id, MPI.COMM_WORLD.rank, MPI.COMM_WORLD.size


@ipyparallel.interactive
def _environment() -> dict[str, str]:
    import os

    return dict(os.environ)


def test_engines_form_one_world_with_id_equal_to_rank(cluster: Cluster) -> None:
    cluster.restart()
    count = len(cluster.engines)
    assert cluster.client[:].apply_sync(_world) == [(one, one, count) for one in range(count)]
    assert [(engine.id, engine.rank) for engine in cluster.engines] == [
        (one, one) for one in range(count)
    ]
    assert cluster.state.name == "ready"


def test_restart_gives_fresh_engines_under_the_same_id(cluster: Cluster) -> None:
    before = {engine.pid for engine in cluster.engines}
    cluster.client[:].push({"kept": 1}, block=True)
    assert cluster.restart().id == cluster.id
    assert not before & {engine.pid for engine in cluster.engines}
    assert not any(cluster.client[:].apply_sync(_knows, "kept"))


@ipyparallel.interactive
def _knows(name: str) -> bool:
    return name in globals()


def test_engines_get_their_share_of_the_cores_and_no_flag_is_left_to_the_user(
    cluster: Cluster,
) -> None:
    environment = cluster.client[0].apply_sync(_environment)
    assert environment["OMPI_ALLOW_RUN_AS_ROOT"] == "1"
    assert int(environment["OMP_NUM_THREADS"]) >= 1
    assert environment["PATH"].startswith(sys.prefix)


def test_another_process_lists_attaches_and_runs_on_the_engines(cluster: Cluster) -> None:
    seen = _in_another_process(
        f"""
        cluster = idl.Cluster.attach({cluster.id!r})
        print(json.dumps({{
            "known": [one.id for one in idl.Cluster.list()],
            "state": str(cluster.state),
            "pids": cluster.client[:].apply_sync(os.getpid),
        }}))
        """
    )
    assert cluster.id in seen["known"]
    assert seen["state"] == "ready"
    assert seen["pids"] == [engine.pid for engine in cluster.engines]
    assert cluster.state.name == "ready", "the process that attached took the cluster along"


def test_a_cluster_outlives_the_process_that_started_it_and_is_stopped_from_another() -> None:
    started = _in_another_process(
        """
        cluster = idl.Cluster(1, cluster_id="orphan").start()
        print(json.dumps([engine.pid for engine in cluster.engines]))
        sys.stdout.flush()
        os.kill(os.getpid(), 9)
        """
    )
    cluster = Cluster.attach("orphan")
    try:
        assert [engine.pid for engine in cluster.engines] == started
        assert len(cluster.client[:].apply_sync(_world)) == 1
    finally:
        cluster.stop()
    assert "orphan" not in [one.id for one in Cluster.list()]


@ipyparallel.interactive
def _told_states() -> list[str]:
    from IPython import get_ipython

    kernel = get_ipython().kernel
    sent = []
    send = kernel.session.send
    kernel.session.send = lambda socket, kind, content, **rest: sent.append(content)
    try:
        kernel._publish_status("idle", "shell")
    finally:
        kernel.session.send = send
    return [content["execution_state"] for content in sent]


def test_engines_are_silently_busy_for_a_client_that_hears_nothing(cluster: Cluster) -> None:
    with Cluster.attach("shared") as other:
        view = other.client.load_balanced_view()
        assert view.apply_sync(_told_states) == ["idle"]
        other.client.hear_no_output()
        assert view.apply_sync(_told_states) == []
        assert other.client[:].apply_sync(_told_states) == [[]] * len(cluster.engines)


def test_an_unknown_id_is_answered_with_the_known_ones(cluster: Cluster) -> None:
    with pytest.raises(ClusterNotFoundError, match=rf"'nobody'.*{cluster.id}"):
        Cluster.attach("nobody")


def test_an_id_is_used_once_at_a_time(cluster: Cluster) -> None:
    with pytest.raises(ClusterError, match="runs already"):
        Cluster(1, cluster_id=cluster.id).start()
    assert cluster.state.name == "ready"


def test_start_and_stop_work_inside_a_running_event_loop() -> None:
    async def like_a_notebook_cell() -> str:
        with Cluster(1, cluster_id="in-a-loop") as cluster:
            return cluster.state.name

    assert asyncio.run(like_a_notebook_cell()) == "ready"


def test_the_async_form_leaves_the_callers_loop_free() -> None:
    async def start_and_count() -> int:
        turns = 0
        cluster = Cluster(1, cluster_id="async")
        starting = asyncio.create_task(cluster.start_async())
        while not starting.done():
            turns += 1
            await asyncio.wait([starting], timeout=0.05)
        await starting
        await cluster.stop_async()
        return turns

    assert asyncio.run(start_and_count()) > 5


def test_every_method_that_takes_time_has_an_async_twin(until: Callable[..., None]) -> None:
    async def live() -> Cluster:
        async with Cluster(2, cluster_id="all-async") as cluster:
            attached = await Cluster.attach_async("all-async")
            assert attached.engines == cluster.engines
            attached.close()

            kept, victim = cluster.engines
            os.kill(victim.pid, signal.SIGKILL)
            until(lambda: cluster.state.name == "degraded", "the death is noticed")
            assert await cluster.heal_async() is cluster
            assert [(one.id, one.state) for one in cluster.engines] == [(0, "ready"), (2, "ready")]
            assert cluster.engines[0] == kept

            assert await cluster.restart_async() is cluster
            assert [one.id for one in cluster.engines] == [0, 1]
            assert kept.pid not in [one.pid for one in cluster.engines]
            assert cluster.state.name == "ready"
        return cluster

    cluster = asyncio.run(live())
    assert cluster.state.name == "stopped"
    assert _processes.marked(cluster._places.folder) == ()


@pytest.mark.skipif(available_cores() < 2, reason="two engines need two cores to be pinned to")
def test_pinned_engines_have_one_core_each_of_their_own_and_heal(
    kill: Callable[..., None],
) -> None:
    with Cluster(2, cluster_id="pinned", threads_per_engine=1, binding="core") as cluster:
        one, other = cluster.client[:].apply_sync(_cores)
        assert (len(one), len(other)) == (1, 1)
        assert one != other
        for victim in (1, 0):
            kill(cluster, victim)
            assert str(cluster.heal().state) == "ready"


@ipyparallel.interactive
def _cores() -> set[str]:
    """Cores that an engine may use, each told by its hardware threads."""
    import os
    from pathlib import Path

    here = Path("/sys/devices/system/cpu")
    return {
        (here / f"cpu{one}/topology/thread_siblings_list").read_text()
        for one in os.sched_getaffinity(0)
    }


def test_a_cluster_that_was_not_started_says_what_to_type() -> None:
    cluster = Cluster(2, cluster_id="not-started")
    assert str(cluster.state) == "stopped"
    with pytest.raises(ClusterNotRunningError, match=r"cluster\.start\(\)"):
        _ = cluster.client
    cluster.stop()


def test_engines_that_end_before_they_register_are_reported_with_their_log() -> None:
    cluster = Cluster(1, cluster_id="broken", environment={"OMPI_MCA_pml": "no_such_pml"})
    with pytest.raises(EnginesNotRegisteredError, match=r"Engine 0: exit code[^~]*MPI_Init"):
        cluster.start()
    assert cluster.state.name == "stopped"


@pytest.fixture
def instead_of_mpiexec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Puts a program in mpiexec's place: the environment for a cluster."""
    # The first look finds these out; a build of the same version elsewhere it would not.
    monkeypatch.setattr(_preflight, "check_mpi", lambda path: None)

    def put(program: str) -> dict[str, str]:
        fake = tmp_path / "mpiexec"
        fake.write_text(f"#!{sys.executable}\n{program}")
        fake.chmod(0o755)
        return {"PATH": os.pathsep.join([str(tmp_path), os.environ["PATH"]])}

    return put


def test_engines_that_another_mpi_started_are_the_size_1_trap(
    instead_of_mpiexec: Callable[..., Any],
) -> None:
    environment = instead_of_mpiexec(ANOTHER_MPIS_MPIEXEC)
    cluster = Cluster(2, cluster_id="two-mpis", environment=environment)
    with pytest.raises(WorldSizeError, match="alone in a world of size 1"):
        cluster.start()
    assert cluster.state.name == "stopped"


def test_engines_that_take_too_long_are_told_with_the_time_they_had_and_nothing_is_left(
    instead_of_mpiexec: Callable[..., Any],
) -> None:
    environment = instead_of_mpiexec(STARTS_NOTHING)
    cluster = Cluster(2, cluster_id="late", start_timeout_s=4, environment=environment)
    with pytest.raises(EnginesNotRegisteredError, match=r"within 4 s, but \[0, 1\] did not"):
        cluster.start()
    assert cluster.state.name == "stopped"
    assert _processes.marked(cluster._places.folder) == ()
    assert "late" not in [one.id for one in Cluster.list()]


def test_a_controller_that_does_not_come_up_is_reported_with_its_log() -> None:
    cluster = Cluster(1, cluster_id="headless", environment={"PYTHONHASHSEED": "no number"})
    with pytest.raises(EnginesNotRegisteredError, match="controller[^~]*PYTHONHASHSEED"):
        cluster.start()
    assert cluster.state.name == "stopped"


def test_a_world_with_nobody_left_cannot_heal_but_restart(
    cluster: Cluster, kill: Callable[..., None]
) -> None:
    kill(cluster, *(engine.id for engine in cluster.engines))
    assert cluster.state.name == "failed"
    with pytest.raises(HealError, match=r"cluster\.restart\(\)"):
        cluster.heal()
    assert cluster.restart().state.name == "ready"


def _in_another_process(code: str) -> Any:
    lines = ["import json, os, sys", "import interactive_dl as idl", *code.splitlines()]
    program = "\n".join(line.strip() if line.startswith("        ") else line for line in lines)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout, done.stderr
    return json.loads(done.stdout)
