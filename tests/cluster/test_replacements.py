"""Dead engines are replaced while others are busy, and groups of old and new ones work."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ipyparallel
import pytest

from interactive_dl.cluster import Cluster

Step = Callable[[Cluster], None]


@ipyparallel.interactive
def _wait_for(path: str) -> str:
    import time
    from pathlib import Path

    while not Path(path).exists():
        time.sleep(0.01)
    return "done"


@ipyparallel.interactive
def _sum_of_ids(ids: tuple[int, ...] | None = None) -> tuple[tuple[int, ...], int, int]:
    """Engines of a group, the sum of their ids, and how many of them are on this host."""
    from interactive_dl import engine
    from interactive_dl.engine import world

    group = engine.init(engines=ids)
    return group.engines, group.comm.allreduce(world.current().my_id), group.local_size


@ipyparallel.interactive
def _reduce_for_ever(ids: tuple[int, ...]) -> str:
    import tensorflow as tf
    from horovod import tensorflow as hvd

    from interactive_dl import engine

    engine.init(engines=ids)
    try:
        while True:
            hvd.allreduce(tf.zeros(2))
    except tf.errors.OpError as error:
        return type(error).__name__


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


def test_an_engine_is_replaced_while_others_are_busy_and_all_train_together_later(
    cluster: Cluster,
    busy: Busy,
    kill: Callable[..., None],
    train_one_keras_step_on_all: Step,
) -> None:
    sponsor, victim, working = _ids(cluster)
    busy.make(cluster, working)
    kill(cluster, victim)

    began_s = time.monotonic()
    cluster.heal(wait_for_busy=False)
    took_s = time.monotonic() - began_s
    new = _ids(cluster)[-1]
    assert took_s < 5, f"{took_s:.1f} s"
    assert _ids(cluster) == (sponsor, working, new)
    assert str(cluster.state) == "ready"
    assert cluster.client[new].apply_async(os.getpid).get(timeout=20) == cluster.engines[-1].pid
    pair = cluster.client[[sponsor, new]].apply_async(_sum_of_ids).get(timeout=60)
    assert pair == [((sponsor, new), sponsor + new, 2)] * 2
    assert busy.are_all

    busy.let_go()
    train_one_keras_step_on_all(cluster)
    kill(cluster, new)
    train_one = cluster.client[[sponsor, working]].apply_async(_sum_of_ids).get(timeout=60)
    assert train_one == [((sponsor, working), sponsor + working, 2)] * 2
    cluster.heal()
    train_one_keras_step_on_all(cluster)
