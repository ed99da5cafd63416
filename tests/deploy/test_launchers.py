"""Engines that Slurm itself starts, by its plug-in for PMIx, or as ``$IDL_TEST_LAUNCHER`` says."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ipyparallel
import pytest

import interactive_dl as idl
from tests.deploy import drills

LAUNCHER = os.environ.get("IDL_TEST_LAUNCHER", "srun:pmix")
STEP_TIMEOUT_S = 120.0


def test_slurm_starts_one_world_that_trains_and_starts_again_as_a_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, until: Callable[..., None]
) -> None:
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("IDL_RUNS", str(tmp_path / "runs"))
    asked: dict[str, Any] = {"nodes": 2, "walltime_min": 10, "interface": "eth0"}
    with idl.Cluster("slurm", launcher=LAUNCHER, engines_per_node=2, **asked) as cluster:
        assert [engine.host for engine in cluster.engines] == ["n1", "n1", "n2", "n2"]
        assert _told(cluster.client, [0, 1, 2, 3], _place) == [(0, 6), (1, 6), (0, 6), (1, 6)]
        assert _told(cluster.client, [0, 2], _place) == [(0, 1), (0, 1)]
        first, second = _told(cluster.client, [1, 3], _one_step)
        assert first == second
        drills.kill(cluster, 1)
        until(lambda: 1 in {death.engine for death in cluster.deaths}, "the death is told", 10.0)
        until(lambda: cluster.client.ids == [4, 5, 6, 7], "others start", 60.0)
        until(lambda: cluster.state.name == "ready", "they are ready")
        assert _told(cluster.client, [4, 5, 6, 7], _sum_of_the_world) == [22] * 4
    assert [drills.orphans(host) for host in ("n1", "n2")] == [[], []]
    until(lambda: not _shared_memory("n1,n2"), "nothing is left in shared memory")


def _shared_memory(nodes: str) -> str:
    words = ["srun", f"--nodelist={nodes}", "--ntasks=2", "ls", "-A", "/dev/shm"]
    return subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True, timeout=30).stdout


def _told(client: Any, members: list[int], work: Callable[[], Any]) -> list[Any]:
    told: list[Any] = client.direct_view(members).apply_async(work).get(timeout=STEP_TIMEOUT_S)
    return told


@ipyparallel.interactive
def _place() -> tuple[int, int]:
    """The local rank in a group of those that are asked, and the sum of its ranks by MPI."""
    from interactive_dl import engine

    group = engine.init()
    return group.local_rank, group.comm.allreduce(group.rank)


@ipyparallel.interactive
def _sum_of_the_world() -> int:
    """The sum of all ids by MPI, without Horovod."""
    from interactive_dl.engine import world

    total: int = world.current().comm.allreduce(world.current().my_id)
    return total


@ipyparallel.interactive
def _one_step() -> tuple[float, ...]:
    """The weights after one step on data of the rank's own."""
    import keras
    import numpy as np

    from interactive_dl import engine

    group = engine.init(seed=1)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile(engine.distribute(keras.optimizers.SGD(0.1)), "mse")
    x, y = np.random.default_rng(group.rank).normal(size=(2, 8, 4)).astype("float32")
    model.fit(x, y[:, :1], batch_size=8, verbose=0)
    return tuple(np.concatenate([part.ravel() for part in model.get_weights()]).tolist())
