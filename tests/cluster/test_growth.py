"""Engines are taken into a training that runs, and into the places of those that died."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ipyparallel.error import CompositeError, RemoteError

from interactive_dl.cluster import Cluster
from interactive_dl.errors import CommandRefusedError
from interactive_dl.telemetry.run import Run

TIMEOUT_S = 120
ENGINES = 3
Until = Callable[..., None]

SETUP = """
import shutil
import time
from pathlib import Path

import keras
import numpy as np
from interactive_dl import data, engine
from interactive_dl.engine import _fit_context
from interactive_dl.engine._checkpoint import Checkpoint

x = np.random.default_rng(0).normal(size=(600, 6)).astype("float32")
y = (x.sum(axis=1) > 0).astype("float32")


class Watch(keras.callbacks.Callback):
    # slow, so that there is time to grow; keeps the state that a changed group begins with

    def __init__(self, checkpoint, agreed, step_s):
        super().__init__()
        self.checkpoint, self.agreed, self.step_s = checkpoint, agreed, step_s
        self.groups = []

    def on_train_begin(self, logs=None):
        self.groups.append(engine.current().engines)
        if self.agreed and _fit_context.context_of(self.model).restarts:
            path = self.checkpoint.write()
            if engine.current().rank == 0:
                shutil.copy(path, self.agreed)

    def on_train_batch_end(self, batch, logs=None):
        time.sleep(self.step_s)


def train(name, path, epochs=1000, agreed=None, step_s=0.02, dropout=0.2, **options):
    group = engine.init(seed=1)
    model = keras.Sequential([
        keras.Input((6,)), keras.layers.Dense(8, activation="tanh"), keras.layers.Dropout(dropout),
        keras.layers.Dense(1, activation="sigmoid"),
    ])
    model.compile(
        engine.distribute(keras.optimizers.SGD(0.05, momentum=0.9)), "binary_crossentropy")
    batches = data.from_arrays(x, y).shard(group, seed=3).batch(8)
    callbacks = engine.callbacks(name, checkpoint=path, **options)
    checkpoint = next(one for one in callbacks if isinstance(one, Checkpoint))
    watch = Watch(checkpoint, agreed, step_s)
    history = model.fit(batches, epochs=epochs, verbose=0, callbacks=[*callbacks, watch])
    return {
        "weights": [value.tobytes() for value in model.get_weights()],
        "rate": float(model.optimizer.learning_rate),
        "backend": keras.backend.backend(),
        "epochs": history.epoch,
        "loss": history.history.get("loss"),
        "groups": watch.groups,
    }
"""


@pytest.fixture(scope="module")
def three(own_ipython_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(ENGINES, runs=tmp_path_factory.mktemp("runs")) as cluster:
        yield cluster


@pytest.fixture
def three_on_torch(
    own_ipython_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cluster]:
    runs = tmp_path_factory.mktemp("runs")
    with Cluster(ENGINES, runs=runs, environment={"KERAS_BACKEND": "torch"}) as cluster:
        yield cluster


class Training:
    """A training on all engines of a cluster, as a notebook has it."""

    def __init__(
        self, cluster: Cluster, until: Until, name: str, call: str, before: str = ""
    ) -> None:
        self.cluster, self.until, self.name = cluster, until, name
        cluster.heal()
        self.engines = cluster.engines
        view = cluster.client[:]
        view.execute(SETUP, block=True)
        self.cell = view.execute(f"{before}\nresult = None; result = {call}")
        until(
            lambda: name in {run.name for run in cluster.runs.summaries()}, "it begins", TIMEOUT_S
        )
        self.run: Run = cluster.runs[name]
        self.await_step(10)

    def await_step(self, step: int) -> None:
        """Wait until it has come so far."""
        self.until(lambda: self.run.history.step >= step, f"step {step}", timeout_s=TIMEOUT_S)

    def kill(self, rank: int) -> None:
        """Kill a rank, and wait until the others train on without it."""
        changes = len(self.run.history.groups)
        os.kill(self.engines[rank].pid, signal.SIGKILL)
        history = self.run.history
        is_decided = lambda: len(history.groups) > changes or history.ended  # noqa: E731
        self.until(is_decided, "they go on", timeout_s=TIMEOUT_S)
        assert history.ended is None, history.ended

    def finish(self) -> dict[int, Any]:
        """Stop it with its epoch; what the living got, by engine."""
        self.run.stop(after="epoch")
        with pytest.raises((CompositeError, RemoteError), match="died"):
            self.cell.get(timeout=TIMEOUT_S)
        ids = self.cluster.client.ids
        results = self.cluster.client[ids].pull("result").get(timeout=TIMEOUT_S)
        return dict(zip(ids, results, strict=True))


def expected(cluster: Cluster, call: str) -> list[dict[str, Any]]:
    """What all engines get if they train alone, undisturbed."""
    view = cluster.client[:]
    view.execute(f"expected = {call}").get(timeout=TIMEOUT_S)
    found: list[dict[str, Any]] = view["expected"]
    return found


def test_a_training_that_has_grown_is_as_a_fresh_one_of_all_ranks(
    three: Cluster, until: Until, tmp_path: Path
) -> None:
    path, agreed = str(tmp_path / "run.keras"), str(tmp_path / "agreed.keras")
    training = Training(three, until, "grown", f"train('grown', {path!r}, agreed={agreed!r})")
    training.run.set(learning_rate=0.02, dropout=0.1)
    training.kill(1)
    told = training.run.grow(timeout_s=TIMEOUT_S)
    group = training.run.history.groups[-1]
    new = training.engines[-1].id + 1
    assert group.engines == (training.engines[0].id, training.engines[2].id, new)
    assert group.step == told.step
    assert three.state.name == "ready"
    training.run.set(momentum=0.8)
    results = training.finish()
    assert sorted(results) == list(group.engines)
    first = results[group.engines[0]]
    assert all(one["weights"] == first["weights"] for one in results.values())
    assert first["rate"] == pytest.approx(0.02)
    assert first["groups"][-1] == results[new]["groups"][0] == group.engines
    # An epoch whose end was cut short by the death has no metrics, and is in no history.
    assert len(set(range(first["epochs"][-1] + 1)) - set(first["epochs"])) <= 1
    assert first["epochs"] == sorted(set(first["epochs"]))
    whole = len(results[new]["loss"]) - 1
    assert first["loss"][len(first["loss"]) - whole :] == results[new]["loss"][1:]


def test_from_the_step_of_growth_it_is_as_a_fresh_one(
    three: Cluster, until: Until, tmp_path: Path
) -> None:
    results = grown_as_a_fresh_one(three, until, tmp_path)
    assert {one["backend"] for one in results} == {"tensorflow"}


def test_on_torch_it_is_so_as_well(three_on_torch: Cluster, until: Until, tmp_path: Path) -> None:
    # Dropout draws from one generator of the process there, which begins each epoch anew.
    results = grown_as_a_fresh_one(three_on_torch, until, tmp_path, dropout=0.0)
    assert {one["backend"] for one in results} == {"torch"}


def grown_as_a_fresh_one(
    cluster: Cluster, until: Until, folder: Path, dropout: float = 0.2
) -> list[dict[str, Any]]:
    path, agreed = str(folder / "run.keras"), str(folder / "agreed.keras")
    options = f"agreed={agreed!r}, dropout={dropout}"
    training = Training(cluster, until, "plain", f"train('plain', {path!r}, {options})")
    training.kill(2)
    told = training.run.grow(timeout_s=TIMEOUT_S)
    assert training.run.history.groups[-1].step == told.step
    results = list(training.finish().values())
    epochs = training.run.history.epoch
    fresh = expected(cluster, f"train('fresh', {agreed!r}, {epochs}, dropout={dropout})")
    assert [one["weights"] for one in results] == [one["weights"] for one in fresh]
    assert [one["rate"] for one in results] == [pytest.approx(0.05)] * ENGINES
    assert {one["groups"][-1] for one in results} == {tuple(cluster.client.ids)}
    return results


def test_new_engines_wait_for_whoever_is_left(three: Cluster, until: Until, tmp_path: Path) -> None:
    """Rank 0, which has asked for them, dies before they are ready."""
    path = str(tmp_path / "run.keras")
    training = Training(three, until, "left", f"train('left', {path!r})")
    training.kill(1)
    pending = training.run.grow(wait=False)
    until(lambda: any("start" in one.text for one in training.run.history.log), "they start")
    training.kill(0)
    assert pending.result(TIMEOUT_S).step > 0
    results = training.finish()
    survivor = training.engines[2].id
    assert results[survivor]["groups"][-1][0] == survivor
    assert len(results[survivor]["groups"][-1]) == 2
    assert len({tuple(one["weights"]) for one in results.values()}) == 1


def test_an_engine_that_dies_while_it_gets_ready_is_named(
    three: Cluster, until: Until, tmp_path: Path
) -> None:
    path = str(tmp_path / "run.keras")
    training = Training(three, until, "dies", f"train('dies', {path!r})")
    training.kill(1)
    pending = training.run.grow(wait=False)
    new = training.engines[-1].id + 1
    until(lambda: any(one.id == new for one in three.engines), "it is born", timeout_s=TIMEOUT_S)
    os.kill(three.engines[-1].pid, signal.SIGKILL)
    with pytest.raises(CommandRefusedError, match=f"engine {new}: it died"):
        pending.result(TIMEOUT_S)
    results = training.finish()
    assert len({tuple(one["weights"]) for one in results.values()}) == 1
    assert len(results) == ENGINES - 1


def test_an_engine_that_cannot_come_to_the_fit_says_why(
    three: Cluster, until: Until, tmp_path: Path
) -> None:
    path = str(tmp_path / "run.keras")
    three.heal()
    three.client[:].push({"epochs": 1000}, block=True)
    call = f"train('pushed', {path!r}, epochs=epochs)"
    training = Training(three, until, "pushed", call)
    training.kill(1)
    with pytest.raises(CommandRefusedError, match="NameError: name 'epochs' is not defined"):
        training.run.grow(timeout_s=TIMEOUT_S)
    with pytest.raises(CommandRefusedError, match="are not in it"):
        training.run.grow(timeout_s=TIMEOUT_S)
    assert sum(one is not None for one in training.finish().values()) == ENGINES - 1
    # The new engine is one of the cluster's, and of use in the next cell.
    assert three.client[:].apply_sync(_size) == [ENGINES] * ENGINES


def _size() -> int:
    from interactive_dl import engine

    return int(engine.init().size)


def test_a_training_that_ends_first_lets_them_go(
    three: Cluster, until: Until, tmp_path: Path
) -> None:
    path = str(tmp_path / "run.keras")
    training = Training(three, until, "short", f"train('short', {path!r})")
    training.kill(1)
    pending = training.run.grow(wait=False)
    training.run.stop()
    with pytest.raises(CommandRefusedError, match="ended before"):
        pending.result(TIMEOUT_S)
    with pytest.raises((CompositeError, RemoteError), match="died"):
        training.cell.get(timeout=TIMEOUT_S)
    until(lambda: len(three.client.ids) == ENGINES, "it registers", timeout_s=TIMEOUT_S)
    sizes = three.client[:].apply_async(_size).get(timeout=TIMEOUT_S)
    assert sizes == [ENGINES] * ENGINES


def test_a_full_group_does_not_grow(three: Cluster, until: Until, tmp_path: Path) -> None:
    path = str(tmp_path / "run.keras")
    training = Training(three, until, "full", f"train('full', {path!r})")
    with pytest.raises(CommandRefusedError, match=r"grows to the 3 engines.*it has 3"):
        training.run.grow()
    training.run.stop()
    training.cell.get(timeout=TIMEOUT_S)


@pytest.mark.parametrize("rank", [0, 2])
def test_a_restart_ends_as_if_nothing_had_happened(
    three: Cluster, until: Until, tmp_path: Path, rank: int
) -> None:
    path, name = str(tmp_path / "run.keras"), f"restart-{rank}"
    call = f"train({name!r}, {path!r}, on_rank_loss='restart')"
    training = Training(three, until, name, call)
    training.await_step(60)
    training.kill(rank)
    lost, change = training.run.history.losses_of_ranks[0], training.run.history.groups[0]
    assert lost.rank == rank
    assert "joined" in change.reason
    assert len(change.engines) == ENGINES
    results = training.finish()
    survivor = results[training.engines[1].id]
    epochs = len(survivor["epochs"])
    fresh = expected(three, f"train('fresh', {str(tmp_path / 'f.keras')!r}, {epochs}, step_s=0)")
    assert [one["weights"] for one in results.values()] == [one["weights"] for one in fresh]
    assert survivor["epochs"] == list(range(epochs))
    assert survivor["loss"] == fresh[0]["loss"]


def test_an_engine_that_fails_at_once_costs_the_others_nothing(
    three: Cluster, until: Until, tmp_path: Path
) -> None:
    three.heal()
    three.client[:].push({"tolerated": None}, block=True)
    path = str(tmp_path / "run.keras")
    fails = "Watch.on_train_begin = lambda self, logs=None: tolerated"
    call = f"train('fails', {path!r})\n"
    training = Training(three, until, "fails", call, before=fails)
    training.kill(2)
    with pytest.raises(CommandRefusedError, match="failed at once.*NameError"):
        training.run.grow(timeout_s=TIMEOUT_S)
    step = training.run.history.step
    training.await_step(step + 20)
    results = [one for one in training.finish().values() if one is not None]
    assert len(results) == ENGINES - 1
    assert results[0]["weights"] == results[1]["weights"]
