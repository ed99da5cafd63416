"""A rank dies in a training: the others go on from what they have, as a fresh run of them would."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ipyparallel.error import CompositeError, RemoteError

from interactive_dl.cluster import Cluster, Engine

TIMEOUT_S = 120
ENGINES = 4
ROUNDS = 20

SETUP = """
import os
import shutil
import time
from pathlib import Path

import keras
import numpy as np
from interactive_dl import data, engine
from interactive_dl.engine import _fit_context
from interactive_dl.engine._checkpoint import Checkpoint

x = np.random.default_rng(0).normal(size=(1000, 6)).astype("float32")
y = (x.sum(axis=1) > 0).astype("float32")


class Watch(keras.callbacks.Callback):
    # keeps the state that survivors agree on, and tells when the training is under way

    def __init__(self, folder, checkpoint, late):
        super().__init__()
        self.folder, self.checkpoint, self.late = Path(folder or "."), checkpoint, late
        self.steps, self.ranks, self.begun_at, self.updates = 0, [], [], []

    def on_train_begin(self, logs=None):
        context = _fit_context.context_of(self.model)
        self.ranks.append(engine.current().size)
        self.begun_at.append(context.begin)
        self.updates.append(int(self.model.optimizer.iterations))
        if context.restarts:
            path = self.checkpoint.write()
            if engine.current().rank == 0:
                shutil.copy(path, self.folder / "agreed.keras")

    def on_train_batch_begin(self, batch, logs=None):
        self.steps += 1
        if self.steps == 30:
            (self.folder / f"training-{my_id}").touch()
            if self.late == my_id:
                time.sleep(0.5)  # the others wait for this one in the allreduce


def train(path, epochs, folder=None, late=None, at_once=1):
    global watch
    group = engine.init(seed=1)
    model = keras.Sequential([
        keras.Input((6,)), keras.layers.Dense(8, activation="tanh"), keras.layers.Dropout(0.2),
        keras.layers.Dense(1, activation="sigmoid"),
    ])
    model.compile(
        engine.distribute(keras.optimizers.SGD(0.05, momentum=0.9)), "binary_crossentropy",
        steps_per_execution=at_once)
    batches = data.from_arrays(x, y).shard(group, seed=3).batch(8)
    callbacks = engine.callbacks("loss", checkpoint=path)
    checkpoint = next(one for one in callbacks if isinstance(one, Checkpoint))
    watch = Watch(folder, checkpoint, late)
    extra = [watch] if folder is not None else []
    history = model.fit(batches, epochs=epochs, verbose=0, callbacks=[*callbacks, *extra])
    return {
        "engines": group.engines if folder is None else engine.current().engines,
        "weights": [value.tobytes() for value in model.get_weights()],
        "loss": history.history["loss"],
        "rate": float(model.optimizer.learning_rate),
        "ranks": watch.ranks,
        "begun": [(at.step, at.epoch, at.batch) for at in watch.begun_at],
        "updates": watch.updates,
    }
"""


@pytest.fixture(scope="module")
def four(own_ipython_folder: Path) -> Iterator[Cluster]:
    with Cluster(ENGINES) as cluster:
        yield cluster


def prepared(cluster: Cluster) -> Any:
    view = cluster.client[:]
    view.execute(SETUP, block=True)
    view.scatter("my_id", list(cluster.client.ids), flatten=True, block=True)
    return view


@pytest.mark.parametrize("number", range(ROUNDS))
def test_the_living_go_on_as_a_fresh_run_of_them_would(
    four: Cluster, until: Callable[..., None], tmp_path: Path, number: int
) -> None:
    chance = random.Random()
    four.heal()
    view = prepared(four)
    count = 1 + number % 3
    victims = chance.sample(four.engines, count)
    if number % 4 == 0 and four.engines[0] not in victims:
        victims[0] = four.engines[0]
    others = [one for one in four.engines if one not in victims]
    is_inside = number % 2 == 0
    at_once = 3 if number % 4 > 1 else 1
    late = chance.choice(others).id if is_inside else None
    options = {"path": str(tmp_path / "run.keras"), "epochs": 12, "folder": str(tmp_path)}
    running = view.execute(
        f"result = None; result = train(late={late}, at_once={at_once}, **{options!r})"
    )
    for engine in four.engines:
        until((tmp_path / f"training-{engine.id}").exists, "it trains", timeout_s=TIMEOUT_S)
    if not is_inside:
        delay_s = chance.uniform(0, 0.2)
        with pytest.raises(TimeoutError):
            running.get(timeout=delay_s)
    # A stopped rank is not dead: its watcher has to see to that before MPI and the others know.
    number_of = signal.SIGSTOP if number % 5 == 4 else signal.SIGKILL
    for victim in victims:
        os.kill(victim.pid, number_of)
    with pytest.raises((CompositeError, RemoteError)) as raised:
        running.get(timeout=TIMEOUT_S)
    assert "died" in str(raised.value)
    reasons = {death.engine: death.reason for death in four.deaths}
    word = "stalled" if number_of == signal.SIGSTOP else "killed by SIGKILL"
    assert all(word in reasons[victim.id] for victim in victims)
    survivors = four.client[[one.id for one in others]]
    results = survivors["result"]
    assert None not in results, str(raised.value)
    _check_survivors(results, others)

    agreed = str(tmp_path / "agreed.keras")
    again = f"expected = train({agreed!r}, epochs=12, at_once={at_once})"
    survivors.execute(again).get(timeout=TIMEOUT_S)
    expected = survivors["expected"]
    assert [one["weights"] for one in results] == [one["weights"] for one in expected]
    whole = max(0, len(expected[0]["loss"]) - 1)
    assert results[0]["loss"][-whole:] == expected[0]["loss"][-whole:]


def _check_survivors(results: list[dict[str, Any]], others: list[Engine]) -> None:
    first = results[0]
    assert all(one["weights"] == first["weights"] for one in results)
    assert first["engines"] == tuple(one.id for one in others)
    assert first["ranks"][0] == ENGINES
    assert first["ranks"][-1] == len(others)
    # An epoch whose end was cut short by the death has no metrics, and is in no history.
    assert len(first["loss"]) in {11, 12}
    assert first["rate"] == pytest.approx(0.05 * len(others) / ENGINES)
    assert all(one["begun"] == first["begun"] for one in results)
    # The optimizer may have counted the update that the death has cut short; no weight has it.
    steps = [step for step, _, _ in first["begun"]]
    assert all(
        updates - step in (0, 1) for updates, step in zip(first["updates"], steps, strict=True)
    )


DIES = """
from interactive_dl.engine import _recovery

def die(*_):
    time.sleep({delay_s})
    os.kill(os.getpid(), 9)

_recovery._agree = die
"""
LEAVES = """
from interactive_dl.engine import _recovery
from interactive_dl.errors import PeerFailedError

agree = _recovery._agree

def leave(model, context, new):
    _recovery._agree = agree
    new.comm.Revoke()
    raise PeerFailedError("as if it had heard of the death, before the others do")

_recovery._agree = leave
"""


@pytest.mark.parametrize("is_heard_late", [False, True])
def test_a_death_while_the_living_agree_is_one_more_loss(
    four: Cluster, until: Callable[..., None], tmp_path: Path, is_heard_late: bool
) -> None:
    four.heal()
    view = prepared(four)
    first, second, *others = four.engines
    dies = DIES.format(delay_s=1 if is_heard_late else 0)
    four.client[second.id].execute(dies, block=True)
    if is_heard_late:
        four.client[others[0].id].execute(LEAVES, block=True)
    options = {"path": str(tmp_path / "run.keras"), "epochs": 12, "folder": str(tmp_path)}
    running = view.execute(f"result = None; result = train(**{options!r})")
    for engine in four.engines:
        until((tmp_path / f"training-{engine.id}").exists, "it trains", timeout_s=TIMEOUT_S)
    os.kill(first.pid, signal.SIGKILL)
    with pytest.raises((CompositeError, RemoteError)) as raised:
        running.get(timeout=TIMEOUT_S)
    assert {death.engine for death in four.deaths} >= {first.id, second.id}
    results = four.client[[one.id for one in others]]["result"]
    assert None not in results, str(raised.value)
    _check_survivors(results, others)


def test_stop_raises_on_all_that_live_and_names_the_dead(
    four: Cluster, until: Callable[..., None], tmp_path: Path
) -> None:
    four.heal()
    view = prepared(four)
    view.execute(
        "plain = engine.callbacks\n"
        "engine.callbacks = lambda *a, **k: plain(*a, on_rank_loss='stop', **k)",
        block=True,
    )
    options = {"path": str(tmp_path / "run.keras"), "epochs": 10_000, "folder": str(tmp_path)}
    running = view.execute(f"result = train(**{options!r})")
    victim = four.engines[1]
    for engine in four.engines:
        until((tmp_path / f"training-{engine.id}").exists, "it trains", timeout_s=TIMEOUT_S)
    os.kill(victim.pid, signal.SIGKILL)
    with pytest.raises(CompositeError) as raised:
        running.get(timeout=TIMEOUT_S)
    assert f"rank {victim.rank}" in str(raised.value)
    assert "died during the training" in str(raised.value)
