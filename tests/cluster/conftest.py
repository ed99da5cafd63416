"""A cluster that tests share (starting one takes seconds), and what they do on its engines."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ipyparallel
import psutil
import pytest

from interactive_dl.cluster import Cluster, _processes

ENGINES = 3
STEP_TIMEOUT_S = 120.0


@pytest.fixture(scope="session", autouse=True)
def own_ipython_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Keeps tests away from the clusters of whoever runs them."""
    folder = tmp_path_factory.mktemp("ipython")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IPYTHONDIR", str(folder))
        yield folder


@pytest.fixture(scope="session")
def long_lived(own_ipython_folder: Path) -> Iterator[Cluster]:
    with Cluster(ENGINES, cluster_id="shared") as cluster:
        yield cluster


@pytest.fixture
def cluster(long_lived: Cluster) -> Cluster:
    """A cluster whose engines all live and are idle; tests may kill some."""
    if long_lived.state.name != "ready":
        long_lived.restart()
    return long_lived


@pytest.fixture
def until() -> Callable[..., None]:
    """Waits for a condition; fails with its description when it does not come true."""

    def wait(condition: Callable[[], Any], what: str, timeout_s: float = 20.0) -> None:
        deadline_s = time.monotonic() + timeout_s
        tick = psutil.Process()
        while not condition():
            assert time.monotonic() < deadline_s, f"not within {timeout_s:g} s: {what}"
            psutil.wait_procs([tick], timeout=0.01)

    return wait


@pytest.fixture
def kill(until: Callable[..., None]) -> Callable[..., None]:
    """Kills engines by id and waits until the cluster has noticed."""

    def kill_and_wait(
        cluster: Cluster, *engines: int, number: signal.Signals = signal.SIGKILL
    ) -> None:
        pids = {engine.id: engine.pid for engine in cluster.engines}
        for engine in engines:
            os.kill(pids[engine], number)
        until(lambda: not set(engines) & set(cluster.client.ids), f"engines {engines} unregistered")

    return kill_and_wait


@pytest.fixture
def train_one_keras_step_on_all() -> Callable[[Cluster], None]:
    """Forms a group of all engines, trains a step on it, and compares the outcome."""

    def train(cluster: Cluster) -> None:
        results = cluster.client[:].apply_async(_one_step).get(timeout=STEP_TIMEOUT_S)
        sizes, sums, weights = zip(*results, strict=True)
        count = len(cluster.engines)
        assert sizes == (count,) * count
        assert sums == (sum(range(count)),) * count
        assert len(set(weights)) == 1, "the engines' weights differ after one step"

    return train


@ipyparallel.interactive
def _one_step() -> tuple[int, int, tuple[float, ...]]:
    """Group size, a plain MPI sum of the ranks, and the weights after one step."""
    import keras
    import numpy as np

    from interactive_dl import engine

    group = engine.init(seed=1)
    total = group.comm.allreduce(group.rank)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile(engine.distribute(keras.optimizers.SGD(0.1)), "mse")
    own_data = np.random.default_rng(group.rank)
    x = own_data.normal(size=(8, 4)).astype("float32")
    y = own_data.normal(size=(8, 1)).astype("float32")
    model.fit(x, y, batch_size=8, verbose=0, callbacks=engine.callbacks("step"))
    weights = np.concatenate([part.ravel() for part in model.get_weights()])
    return group.size, total, tuple(weights.tolist())


def processes_of(cluster: Cluster) -> tuple[psutil.Process, ...]:
    return _processes.marked(cluster._places.folder)
