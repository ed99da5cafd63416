"""Dead engines are replaced while others are busy, and groups of old and new ones work."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ipyparallel
import pytest

from interactive_dl.cluster import Cluster, _processes
from interactive_dl.errors import HealError
from interactive_dl.telemetry import exits

Step = Callable[[Cluster], None]
# Two without other work; the busy one is let go after that only.
TAKES_S = 10.0


@ipyparallel.interactive
def _wait_for(path: str) -> str:
    import time
    from pathlib import Path

    while not Path(path).exists():
        time.sleep(0.01)
    return "done"


@ipyparallel.interactive
def _sum_of_ids() -> tuple[tuple[int, ...], int, int]:
    """Engines of the cell's group, the sum of their ids, and how many of them MPI sees here."""
    from mpi4py import MPI

    from interactive_dl.engine import _horovod, world

    _horovod.shutdown()
    formed = world.form()
    here = formed.comm.Split_type(MPI.COMM_TYPE_SHARED)
    return formed.ids, formed.comm.allreduce(world.current().my_id), here.size


class Busy:
    """Engines that are busy until they are let go."""

    def __init__(self, folder: Path) -> None:
        self._flag = folder / "go"
        self._tasks: list[Any] = []

    def make(self, cluster: Cluster, *engines: int) -> None:
        self._tasks += [
            cluster.client[one].apply_async(_wait_for, str(self._flag)) for one in engines
        ]

    @property
    def are_all(self) -> bool:
        return not any(task.ready() for task in self._tasks)

    def let_go(self) -> None:
        self._flag.touch()
        assert [task.get(timeout=20) for task in self._tasks] == ["done"] * len(self._tasks)


@pytest.fixture
def busy(tmp_path: Path) -> Iterator[Busy]:
    engines = Busy(tmp_path)
    yield engines
    (tmp_path / "go").touch()


def _ids(cluster: Cluster) -> tuple[int, ...]:
    return tuple(engine.id for engine in cluster.engines)


def _form(cluster: Cluster, *engines: int) -> None:
    """Form a group and check that it works."""
    told = cluster.client[list(engines)].apply_async(_sum_of_ids).get(timeout=30)
    assert told == [(engines, sum(engines), len(engines))] * len(engines)


def test_an_engine_is_replaced_while_others_are_busy_and_all_train_together_later(
    cluster: Cluster, busy: Busy, kill: Callable[..., None], train_one_keras_step_on_all: Step
) -> None:
    sponsor, victim, working = _ids(cluster)
    busy.make(cluster, working)
    kill(cluster, victim)

    began_s = time.monotonic()
    cluster.heal(wait_for_busy=False)
    assert time.monotonic() - began_s < TAKES_S
    new = _ids(cluster)[-1]
    assert _ids(cluster) == (sponsor, working, new)
    assert str(cluster.state) == "ready"
    assert [death.engine for death in cluster.deaths][-1] == victim
    assert cluster.client[new].apply_async(os.getpid).get(timeout=20) == cluster.engines[-1].pid
    _form(cluster, sponsor, new)
    assert busy.are_all

    busy.let_go()
    train_one_keras_step_on_all(cluster)
    assert exits.is_united(cluster._places.folder, _ids(cluster))


def test_a_new_engine_outlives_the_one_that_started_it_and_starts_others(
    cluster: Cluster, busy: Busy, kill: Callable[..., None]
) -> None:
    sponsor, working, victim = _ids(cluster)
    busy.make(cluster, working)
    kill(cluster, victim)
    cluster.heal(wait_for_busy=False)
    first = _ids(cluster)[-1]
    kill(cluster, sponsor)
    cluster.heal(wait_for_busy=False)
    second = _ids(cluster)[-1]
    assert _ids(cluster) == (working, first, second)
    _form(cluster, first, second)
    assert busy.are_all
    busy.let_go()

    kept = cluster.engines
    cluster.heal()  # nobody is dead; it unites their worlds
    assert exits.is_united(cluster._places.folder, _ids(cluster))
    assert [engine.pid for engine in cluster.engines] == [engine.pid for engine in kept]
    _form(cluster, working, first, second)
    kill(cluster, first)
    _form(cluster, working, second)


def test_it_takes_an_engine_that_is_free(
    cluster: Cluster, busy: Busy, kill: Callable[..., None], until: Callable[..., None]
) -> None:
    *working, victim = _ids(cluster)
    kill(cluster, victim)
    busy.make(cluster, *working)
    status = cluster.client.queue_status
    until(lambda: all(status(one)["queue"] for one in working), "the hub knows that they are busy")
    with pytest.raises(HealError, match=r"all busy.*wait_for_busy=False"):
        cluster.heal(wait_for_busy=False)
    assert cluster.state.name == "degraded"
    busy.let_go()
    cluster.heal(wait_for_busy=False)
    assert str(cluster.state) == "ready"
    folder = cluster._places.folder
    cluster.stop()
    assert not folder.exists()
    assert not _processes.marked(folder)
