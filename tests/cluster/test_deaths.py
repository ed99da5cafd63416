"""An engine that dies costs itself; the cluster says why, and heals."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import replace

import ipyparallel
import pytest
from ipyparallel.error import CompositeError, RemoteError

from interactive_dl.cluster import Cluster
from interactive_dl.cluster._description import Description
from interactive_dl.errors import HealError

Step = Callable[[Cluster], None]


@ipyparallel.interactive
def _exit_with_3() -> None:
    import os

    os._exit(3)


@ipyparallel.interactive
def _touch_no_memory() -> None:
    import ctypes

    ctypes.string_at(0)


@ipyparallel.interactive
def _abort() -> None:
    import os

    os.abort()


@ipyparallel.interactive
def _run_out_of_memory() -> str:
    import resource

    allowed = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (resource.getpagesize() * 1000, allowed[1]))
    try:
        return str(len(bytearray(8 << 30)))
    finally:
        resource.setrlimit(resource.RLIMIT_AS, allowed)


@ipyparallel.interactive
def _reduce_for_ever() -> None:
    from mpi4py import MPI

    from interactive_dl.engine import world

    comm = world.form().comm
    try:
        while True:
            comm.allreduce(1)
    except MPI.Exception:
        # MPI fails those who talk to the dead; others may wait for one that has failed already.
        comm.Revoke()
        raise


@ipyparallel.interactive
def _block(seconds: float) -> None:
    import time

    time.sleep(seconds)


def test_an_idle_engine_that_is_killed_is_replaced(
    cluster: Cluster, kill: Callable[..., None], train_one_keras_step_on_all: Step
) -> None:
    train_one_keras_step_on_all(cluster)
    kept = cluster.engines[0]
    victim = cluster.engines[1]
    cluster.client[kept.id].push({"in_memory": 42}, block=True)

    kill(cluster, victim.id)
    assert cluster.state.name == "degraded"
    assert f"Engine {victim.id} (rank {victim.rank} on" in cluster.state.reason
    assert "cluster.heal()" in cluster.state.reason

    cluster.heal()
    assert str(cluster.state) == "ready"
    assert victim.id not in [engine.id for engine in cluster.engines], "ids are for one life"
    assert cluster.client[kept.id].pull("in_memory", block=True) == 42
    train_one_keras_step_on_all(cluster)


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        (_exit_with_3, "exit code 3"),
        (_touch_no_memory, "killed by SIGSEGV"),
        (_abort, "killed by SIGABRT"),
    ],
)
def test_the_cell_of_a_dying_engine_raises_with_the_reason_and_the_cluster_heals(
    cluster: Cluster, how: Callable[[], None], reason: str, train_one_keras_step_on_all: Step
) -> None:
    victim = cluster.engines[-1]
    with pytest.raises(RemoteError, match="EngineError") as raised:
        cluster.client[victim.id].apply_async(how).get(timeout=30)
    assert reason in str(raised.value)
    assert "cluster.heal()" in str(raised.value)
    death = cluster.deaths[-1]
    assert (death.engine, death.pid, death.reason) == (victim.id, victim.pid, reason)

    cluster.heal()
    train_one_keras_step_on_all(cluster)


def test_a_crash_leaves_its_python_line_in_the_death(cluster: Cluster) -> None:
    victim = cluster.engines[-1]
    with pytest.raises(RemoteError, match="string_at"):
        cluster.client[victim.id].apply_async(_touch_no_memory).get(timeout=30)
    assert any("string_at" in line for line in cluster.deaths[-1].log_lines)


def test_a_terminated_engine_is_a_death_too(
    cluster: Cluster, kill: Callable[..., None], train_one_keras_step_on_all: Step
) -> None:
    victim = cluster.engines[1].id
    kill(cluster, victim, number=signal.SIGTERM)
    assert cluster.deaths[-1].engine == victim
    cluster.heal()
    train_one_keras_step_on_all(cluster)


def test_rank_0_is_replaced_like_any_other(
    cluster: Cluster, kill: Callable[..., None], train_one_keras_step_on_all: Step
) -> None:
    victim = cluster.engines[0].id
    kill(cluster, victim)
    cluster.heal()
    assert victim not in [engine.id for engine in cluster.engines]
    train_one_keras_step_on_all(cluster)


def test_several_engines_that_die_at_once_are_replaced(
    cluster: Cluster, kill: Callable[..., None], train_one_keras_step_on_all: Step
) -> None:
    kill(cluster, cluster.engines[0].id, cluster.engines[2].id)
    cluster.heal()
    assert len(cluster.engines) == 3
    train_one_keras_step_on_all(cluster)


def test_engines_that_were_started_together_die_one_by_one(
    cluster: Cluster, kill: Callable[..., None], train_one_keras_step_on_all: Step
) -> None:
    kill(cluster, cluster.engines[0].id, cluster.engines[1].id)
    cluster.heal()
    _, twin, victim = cluster.engines
    kill(cluster, victim.id)
    assert cluster.client[twin.id].apply_async(os.getpid).get(timeout=20) == twin.pid
    cluster.heal()
    assert twin in [replace(engine, rank=twin.rank) for engine in cluster.engines]
    train_one_keras_step_on_all(cluster)


@pytest.mark.parametrize("joined_later", [False, True])
def test_a_death_inside_a_collective_fails_the_others_at_once_and_heals(
    cluster: Cluster,
    kill: Callable[..., None],
    until: Callable[..., None],
    train_one_keras_step_on_all: Step,
    joined_later: bool,
) -> None:
    cluster.restart()
    if joined_later:
        kill(cluster, cluster.engines[0].id)
        cluster.heal()
    running = cluster.client[:].apply_async(_reduce_for_ever)
    until(lambda: all(_is_busy(engine.pid) for engine in cluster.engines), "all engines reduce")
    os.kill(cluster.engines[-1].pid, signal.SIGKILL)
    with pytest.raises(CompositeError) as raised:
        running.get(timeout=20)
    assert {error[0] for error in raised.value.elist} == {"EngineError", "Exception"}
    cluster.heal()
    train_one_keras_step_on_all(cluster)


def test_an_engine_without_memory_left_raises_and_lives(cluster: Cluster) -> None:
    pid = cluster.engines[0].pid
    with pytest.raises(RemoteError, match="MemoryError"):
        cluster.client[cluster.engines[0].id].apply_sync(_run_out_of_memory)
    assert cluster.client[cluster.engines[0].id].apply_sync(os.getpid) == pid
    assert cluster.state.name == "ready"


def test_a_busy_survivor_is_named_instead_of_waited_for(
    cluster: Cluster, kill: Callable[..., None], train_one_keras_step_on_all: Step
) -> None:
    first, busy, victim = (engine.id for engine in cluster.engines)
    kill(cluster, victim)
    blocked = cluster.client[busy].apply_async(_block, 6.0)
    with pytest.raises(HealError, match=rf"engine {busy} of \[{first}, {busy}\]"):
        cluster.heal(timeout_s=1.0)
    blocked.get(timeout=20)
    cluster.heal()
    train_one_keras_step_on_all(cluster)


def test_a_cluster_whose_mpiexec_was_killed_restarts(
    cluster: Cluster, until: Callable[..., None], train_one_keras_step_on_all: Step
) -> None:
    before = {engine.pid for engine in cluster.engines}
    os.kill(Description.read(cluster._places.description).mpiexec_pid, signal.SIGKILL)
    until(lambda: cluster.state.name == "degraded", "its end is noticed")
    assert "cluster.restart()" in cluster.state.reason

    cluster.restart()
    assert str(cluster.state) == "ready"
    assert not before & {engine.pid for engine in cluster.engines}
    train_one_keras_step_on_all(cluster)


def _is_busy(pid: int) -> bool:
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    ticks = int(fields[11]) + int(fields[12])
    before = _TICKS.setdefault(pid, ticks)
    return ticks - before > 20


_TICKS: dict[int, int] = {}
