"""A cluster without MPI: the same cells, and what a death costs."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ipyparallel
import pytest
from ipyparallel.error import CompositeError, RemoteError

from interactive_dl.cluster import Cluster
from interactive_dl.errors import CommandRefusedError, RequestError
from interactive_dl.telemetry.run import Run

TIMEOUT_S = 120.0

TRAIN = """
import time

import keras
import numpy as np

from interactive_dl import data, engine

group = engine.init(seed=1)
x = np.random.default_rng(0).normal(size=(600, 4)).astype("float32")
batches = data.from_arrays(x, x[:, :1]).shard(group, seed=2).batch(10)
model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
model.compile(engine.distribute(keras.optimizers.SGD(0.01)), "mse")
pace = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: time.sleep(0.02))
callbacks = engine.callbacks({name!r}, checkpoint={path!r}, on_rank_loss={on_rank_loss!r})
model.fit(batches, epochs=1000, verbose=0, callbacks=[*callbacks, pace])
result = [value.tobytes() for value in model.get_weights()], engine.current().engines
"""


@pytest.fixture(scope="module")
def shared(own_ipython_folder: Path) -> Iterator[Cluster]:
    with Cluster(3, collectives="gloo") as cluster:
        yield cluster


@pytest.fixture
def three(shared: Cluster) -> Cluster:
    """Three engines that live; tests may end some."""
    return shared.heal(timeout_s=30.0)


def test_an_unknown_way_to_connect_engines_is_refused() -> None:
    with pytest.raises(RequestError, match=r"mpi, gloo, but got collectives='nccl'"):
        Cluster(2, collectives="nccl")  # type: ignore[arg-type]


def test_groups_gather_broadcast_and_add(three: Cluster) -> None:
    first, second, third = (engine.id for engine in three.engines)
    for members in ([first, second, third], [first, third], [second, third], [second]):
        view = three.client.direct_view(members)
        told = view.apply_async(_collectives).get(timeout=TIMEOUT_S)
        count = len(members)
        assert [one["ids"] for one in told] == [members] * count
        assert [one["local"] for one in told] == [(rank, count) for rank in range(count)]
        assert [one["mean"] for one in told] == [[(count - 1) / 2] * 3] * count
        assert [one["last"] for one in told] == [f"from {count - 1}"] * count
        before = [(rank - 1) % count for rank in range(count)]
        assert [one["came"] for one in told] == [
            [[rank, step] for step in range(3)] for rank in before
        ]
        assert all("collectives are Gloo's" in one["comm"] for one in told)


def test_a_rank_that_raises_ends_the_others_waiting(three: Cluster) -> None:
    with pytest.raises(CompositeError, match=r"rank 1 .*failed first, with ValueError: mine"):
        three.client[:].apply_async(_one_raises).get(timeout=TIMEOUT_S)


def test_a_training_is_steered_loses_a_rank_grows_and_stops(
    three: Cluster, until: Callable[..., None], tmp_path: Path
) -> None:
    training = Training(three, until, "mesh", tmp_path)
    run, new = training.run, max(three.client.ids) + 1
    answer = run.set(learning_rate=0.002)
    assert answer.changes[0].new == pytest.approx(0.002)
    training.lose(0)
    told = run.grow(timeout_s=TIMEOUT_S)
    assert run.history.groups[-1].step == told.step
    run.checkpoint()
    run.stop()
    training.assert_all_have_the_same_weights(engines=(*training.engines[1:], new))
    assert three.state.name == "ready"


def test_a_training_whose_rank_is_lost_goes_back_to_its_checkpoint_with_a_new_one(
    three: Cluster, until: Callable[..., None], tmp_path: Path
) -> None:
    training = Training(three, until, "back", tmp_path, on_rank_loss="restart")
    new = max(three.client.ids) + 1
    training.lose(1)
    assert f"engine {new} joined" in training.run.history.groups[-1].reason
    training.run.stop(after="epoch")
    first, _, last = training.engines
    training.assert_all_have_the_same_weights(engines=(first, last, new))


def test_an_engine_that_comes_too_late_is_let_go(
    three: Cluster, until: Callable[..., None], tmp_path: Path
) -> None:
    training = Training(three, until, "late", tmp_path)
    training.lose(2)
    coming = training.run.grow(wait=False)
    training.run.stop()
    with pytest.raises(CommandRefusedError, match="ended before"):
        coming.result(TIMEOUT_S)
    training.assert_all_have_the_same_weights(engines=training.engines[:2])
    until(lambda: len(three.client.ids) == 3, "it is there", timeout_s=60.0)
    told = three.client[:].apply_async(_collectives).get(timeout=TIMEOUT_S)
    assert told[0]["ids"] == sorted(three.client.ids)


def test_a_dead_engine_is_replaced(three: Cluster, kill: Callable[..., None]) -> None:
    dead, *others = (engine.id for engine in three.engines)
    kill(three, dead)
    three.heal(timeout_s=30.0)
    told = three.client[:].apply_async(_collectives).get(timeout=TIMEOUT_S)
    assert told[0]["ids"] == [*others, max(others) + 1]
    assert three.state.name == "ready"


class Training:
    """A training on all engines of a cluster that goes on until it is stopped."""

    def __init__(
        self,
        cluster: Cluster,
        until: Callable[..., None],
        name: str,
        folder: Path,
        on_rank_loss: str = "shrink",
    ) -> None:
        self._cluster, self._until = cluster, until
        self.engines = tuple(engine.id for engine in cluster.engines)
        options = {"name": name, "path": str(folder / "run.keras"), "on_rank_loss": on_rank_loss}
        self._cell = cluster.client[:].execute(TRAIN.format(**options))

        def has_begun() -> bool:
            return any(run.name == name for run in cluster.runs.summaries())

        until(has_begun, "the run begins", timeout_s=60.0)
        self.run: Run = cluster.runs[name]
        until(lambda: self.run.history.step > 5, "it trains", timeout_s=60.0)

    def lose(self, rank: int) -> None:
        """Kill a rank, and wait until the others train on, with a new one or without."""
        history = self.run.history
        os.kill(self._cluster.engines[rank].pid, signal.SIGKILL)
        self._until(lambda: history.groups, "they go on", timeout_s=60.0)
        assert [one.rank for one in history.losses_of_ranks] == [rank]
        step = history.groups[-1].step
        self._until(lambda: history.step > step + 5, "they train on")

    def assert_all_have_the_same_weights(self, engines: tuple[int, ...]) -> None:
        """After the end of the cell, in which one engine was killed; by rank."""
        with pytest.raises((CompositeError, RemoteError), match="SIGKILL"):
            self._cell.get(timeout=TIMEOUT_S)
        results = self._cluster.client[engines].pull("result").get(timeout=TIMEOUT_S)
        assert [members for _, members in results] == [engines] * len(engines)
        assert [weights for weights, _ in results] == [results[0][0]] * len(engines)


@ipyparallel.interactive
def _collectives() -> dict[str, Any]:
    import numpy as np

    from interactive_dl import engine
    from interactive_dl.engine import _horovod
    from interactive_dl.errors import GroupError

    group = engine.init()
    mine = np.full(3, group.rank, dtype="float32")
    try:
        comm = str(group.comm)
    except GroupError as error:
        comm = str(error)
    hvd = _horovod.library(_horovod.keras_framework())
    assert (hvd.rank(), hvd.size()) == (group.rank, group.size)
    assert (
        group.average_array(mine).tolist()
        == group.broadcast_array(group.average_array(mine), group.size - 1).tolist()
    )
    came = []
    for step in range(3):  # a rank may be ahead of the next one by several
        into = np.empty(2, np.uint8)
        to, source = (group.rank + 1) % group.size, (group.rank - 1) % group.size
        group.pass_on(np.array([group.rank, step], np.uint8), to, into, source)
        came.append(into.tolist())
    return {
        "came": came,
        "ids": group.allgather(group.engines[group.rank]),
        "local": (group.local_rank, group.local_size),
        "mean": group.average_array(mine).tolist(),
        "last": group.broadcast(f"from {group.rank}", group.size - 1),
        "comm": comm,
    }


@ipyparallel.interactive
def _one_raises() -> None:
    from interactive_dl import engine
    from interactive_dl.engine import failures

    group = engine.init()
    try:
        if group.rank == 1:
            raise ValueError("mine")
        group.allgather(1)
    except ValueError as error:
        failures.tell_and_leave(group, error)
        raise
    except Exception as error:
        raise failures.explain(group, error) from error
