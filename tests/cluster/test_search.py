"""Searches on real engines: farmed out, steered, promoted, and gone on with whatever is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import psutil
import pytest

import interactive_dl as idl
from interactive_dl.cluster import Cluster, _processes
from interactive_dl.errors import ActionRefusedError, EnginesBusyError
from interactive_dl.search import events
from interactive_dl.telemetry import journal

ENGINES = 3
TIMEOUT_S = 120.0
Until = Callable[..., None]


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(ENGINES, runs=tmp_path_factory.mktemp("runs")) as cluster:
        yield cluster


@pytest.fixture
def engines(searched: Cluster) -> Cluster:
    """Engines that all live and try nothing."""
    for id_ in idl.Search.known(searched.runs_folder):
        search = idl.Search.attach(id_, cluster=searched)
        if search.state == "running":
            search.stop()
            search.wait(TIMEOUT_S)
        search.close()
    if searched.state.name != "ready":
        searched.heal()
    return searched


def quick(trial: Any) -> float:
    """Says which attempts came to its end."""
    import time

    for step in range(1, 4):
        if trial.should_stop:
            return -1.0
        time.sleep(0.05)
        trial.report(step, loss=trial.params["x"] / step)
    with (trial.folder / "ended").open("a") as file:
        file.write(f"{trial.attempt}\n")
    print(f"x was {trial.params['x']}")
    return float(trial.params["x"])


def patient(trial: Any) -> float:
    """Goes on until it is told to stop; says what it was before."""
    import time

    begun = trial.folder / "step"
    step = int(begun.read_text()) if begun.exists() else 0
    while not trial.should_stop and step < 100_000:
        step += 1
        trial.report(step, loss=1.0 / step)
        time.sleep(0.01)
    begun.write_text(str(step))
    return 0.0


def deaf(trial: Any) -> float:
    import time

    if trial.params["sleeps"]:
        time.sleep(600)
    return 1.0


def keras_model(trial: Any) -> None:
    """A network that any number of engines can train."""
    import keras
    import numpy as np

    from interactive_dl import data

    x = np.random.default_rng(0).normal(size=(192, 4)).astype("float32")
    batches = data.from_arrays(x, x.sum(axis=1, keepdims=True)).shard(trial.group).batch(8)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(4), keras.layers.Dense(1)])
    model.compile(trial.distribute(keras.optimizers.SGD(trial.params["lr"])), "mse")
    epochs = trial.epochs(10_000 if trial.params["lr"] == 1e-4 else 2)
    model.fit(batches, epochs=epochs, callbacks=trial.callbacks(), verbose=0)
    if trial.group.rank == 0:
        print("rate", float(model.optimizer.learning_rate))


def test_a_search_tries_everything_once_and_is_found_again(engines: Cluster) -> None:
    search = idl.Search(quick, {"x": idl.uniform(0, 1)}, metric="loss", name="toy")
    search.start(engines, trials=9)
    assert search.wait(TIMEOUT_S) == "finished"
    trials = search.book.trials
    assert [trial.state for trial in trials] == ["finished"] * 9
    assert {trial.attempts[0].engines for trial in trials} == {(0,), (1,), (2,)}
    assert search.best.value == min(trial.params["x"] for trial in trials)
    assert search.output(3) == [f"x was {trials[3].params['x']}"]
    assert _ends(search) == [["1"]] * 9
    script = (
        "import interactive_dl as idl, sys;"
        "s = idl.Search.attach('toy', runs=sys.argv[1]); print(s.state, s.frame().value.min())"
    )
    told = subprocess.run(
        [sys.executable, "-c", script, str(engines.runs_folder)],
        check=True,
        capture_output=True,
        text=True,
    )
    assert told.stdout.split() == ["finished", str(search.best.value)]
    assert not [run for run in engines.runs if "toy" in run], "a search is no run"
    with pytest.raises(ActionRefusedError, match="steered while it runs"):
        search.stop()


def test_a_search_that_has_ended_goes_on_when_it_is_given_more_to_do(engines: Cluster) -> None:
    search = idl.Search(quick, {"x": idl.uniform(0, 1)}, metric="loss", name="more")
    search.start(engines, trials=3).wait(TIMEOUT_S)
    search = idl.Search.attach("more", cluster=engines)
    with pytest.raises(ActionRefusedError, match="x"):
        search.enqueue({"x": 2.0})
    search.enqueue({"x": 0.0})
    assert search.wait(TIMEOUT_S) == "finished"
    assert search.best.number == 3
    search.set_trials(5)
    assert search.wait(TIMEOUT_S) == "finished"
    assert [trial.origin for trial in search.book.trials] == [
        *["sampler"] * 3,
        "person",
        *["sampler"] * 2,
    ]
    assert _ends(search) == [["1"]] * 6


def test_a_hand_on_the_wheel(engines: Cluster, until: Until) -> None:
    search = idl.Search(patient, {"x": idl.uniform(0, 1)}, metric="loss", name="wheel")
    search.start(engines, trials=ENGINES)
    book = search.book
    until(lambda: all(trial.reports for trial in book.trials) and len(book.running) == ENGINES, "")

    search.enqueue({"x": 0.25})
    search.enqueue({"x": 0.75}, priority=1)
    search.stop_trial(0)
    until(lambda: book.trials[0].is_over, "trial 0 stopped")
    assert book.trials[0].state == "stopped"
    until(lambda: len(book.running) == ENGINES, "the next one began")
    assert 4 in book.running, "the one of higher priority first"

    search.pause_trial(1)
    until(lambda: book.trials[1].state == "paused", "trial 1 paused")
    until(lambda: 3 in book.running, "its engine tries another")
    reached = max(book.trials[1].reports)
    search.stop_trial(3)
    search.resume_trial(1)
    until(lambda: max(book.trials[1].reports) > reached, "trial 1 went on")
    assert len(book.trials[1].attempts) == 2

    clone = search.clone(2, x=0.5).action
    search.set_concurrency(1)
    assert clone.params == {"x": 0.5}
    with pytest.raises(ActionRefusedError, match="x"):
        search.enqueue({"x": 7.0})
    with pytest.raises(ActionRefusedError, match="warm=False"):
        search.clone(2, warm=True)
    assert [one.after for _, one in book.actions if isinstance(one, events.Acted)][-1] == "1"
    search.stop()
    assert search.wait(TIMEOUT_S) == "stopped"
    assert {trial.state for trial in book.trials} == {"stopped"}


def test_an_objective_that_never_looks_is_struck_and_the_next_one_is_not(
    engines: Cluster, until: Until
) -> None:
    space = {"sleeps": idl.choice(False, True)}
    search = idl.Search(deaf, space, metric="loss", name="deaf", sampler="grid")
    search.start(engines, trials=2, concurrency=1)
    until(lambda: any(t.params["sleeps"] for t in search.book.trials if t.state == "running"), "")
    (number,) = search.book.running
    for _ in range(3):
        search.enqueue({"sleeps": False})
    search.stop_trial(number)
    assert search.wait(TIMEOUT_S) == "finished"
    states = {t.number: t.state for t in search.book.trials}
    assert states.pop(number) == "stopped"
    assert set(states.values()) == {"finished"}


def test_a_trial_is_a_run_that_is_steered_paused_and_promoted(
    engines: Cluster, until: Until
) -> None:
    space = {"lr": idl.log_uniform(1e-5, 1e-1)}
    search = idl.Search(keras_model, space, metric="loss", name="net", seed=1)
    search.start(engines, trials=2)
    book = search.book
    search.enqueue({"lr": 1e-4})
    until(lambda: any(t.reports and t.params["lr"] == 1e-4 for t in book.trials), "", TIMEOUT_S)
    long = next(t for t in book.trials if t.params["lr"] == 1e-4)

    other = idl.Search(quick, {"x": idl.uniform(0, 1)}, metric="loss", name="other")
    with pytest.raises(EnginesBusyError, match=search.id):
        other.start(engines, trials=1)

    search.set_learning_rate(long.number, 2e-4)
    run = engines.runs[long.attempts[-1].run]
    until(lambda: any(one.step for one in run.history.commands), "the run has obeyed")
    assert run.history.commands[0].changes[0].new == pytest.approx(2e-4)

    search.pause_trial(long.number)
    until(lambda: long.state == "paused", "it paused")
    reached = long.checkpoint_step
    search.resume_trial(long.number)
    until(lambda: long.checkpoint_step > reached, "it went on", TIMEOUT_S)
    assert f"after epoch {reached}" in "\n".join(search.output(long.number))

    until(lambda: book.best is not None, "another has finished", TIMEOUT_S)
    search.promote(long.number, epochs=2, warmup_epochs=1)
    promoted = book.trials[-1]
    until(lambda: promoted.is_over, "it was promoted", TIMEOUT_S)
    assert (promoted.state, promoted.why) == ("finished", "")
    assert promoted.attempts[0].engines == (0, 1, 2)
    begun = min(promoted.reports) - 1
    assert begun >= reached
    assert sorted(promoted.reports) == [begun + 1, begun + 2]
    trained = engines.runs[promoted.attempts[0].run].history
    assert trained.started is not None
    assert trained.started.engines == (0, 1, 2)
    assert float(search.output(promoted.number)[-1].split()[1]) == pytest.approx(3 * 2e-4)
    until(lambda: long.state == "running", "what gave way went on")

    search.promote(promoted, epochs=10_000)
    again = book.trials[-1]
    until(lambda: again.reports, "it was promoted further", TIMEOUT_S)
    search.demote()
    until(lambda: again.state == "stopped", "all its engines left after one step")
    until(lambda: long.state == "running", "and went back to searching")
    search.stop()
    search.wait(TIMEOUT_S)


@pytest.mark.parametrize("seed", [1])
def test_every_trial_ends_once_whatever_is_killed(
    engines: Cluster, until: Until, seed: int
) -> None:
    options = {"metric": "loss", "seed": seed}
    space = {"x": idl.uniform(0, 1)}
    calm = idl.Search(quick, space, name="calm", **options).start(engines, trials=60)
    calm.wait(TIMEOUT_S)

    search = idl.Search(quick, space, name="drill", **options).start(engines, trials=60)
    random = Random(seed)
    victims = ["driver", "engine", "client", "recorder", "engine", "controller", "client"]
    for victim in victims:
        ended = _count_over(search)
        until(lambda ended=ended, s=search: _count_over(s) > ended, "it goes on", TIMEOUT_S)
        if victim == "client":
            search.close()
            search = idl.Search.attach(search.id, cluster=engines)
        elif victim == "engine":
            living = [one for one in engines.engines if one.state == "ready"]
            os.kill(random.choice(living).pid, signal.SIGKILL)
        else:
            _child(engines, victim).kill()
    assert search.wait(TIMEOUT_S) == "finished"
    assert [t.params for t in search.book.trials] == [t.params for t in calm.book.trials]
    assert [t.state for t in search.book.trials] == ["finished"] * 60
    assert [t.value for t in search.book.trials] == [t.value for t in calm.book.trials]
    # Only one that died with its engine, its last word on the way, may have come to its end before.
    for trial, ends in zip(search.book.trials, _ends(search), strict=True):
        assert len(ends) == 1 or len(ends) <= 1 + trial.crashes
    path = journal.path_of(engines.runs_folder, f"{search.id}.search")
    told = [one.event.trial for one in events.records(path) if _ends_trial(one)]
    assert sorted(told) == list(range(60))


def _ends_trial(record: events.Record) -> bool:
    return isinstance(record.event, events.TrialEnded)


def _count_over(search: idl.Search) -> int:
    return sum(trial.is_over for trial in search.book.trials)


def _ends(search: idl.Search) -> list[list[str]]:
    folder: Path = search._runs / search.id
    return [
        (folder / f"trial-{trial.number}" / "ended").read_text().split()
        for trial in search.book.trials
    ]


_MODULES = {
    "driver": "interactive_dl.search.driver",
    "recorder": "interactive_dl.telemetry.recorder",
    "controller": "interactive_dl.cluster.controller",
}


def _child(cluster: Cluster, what: str) -> psutil.Process:
    """The process that does the work, not the one that starts it again."""
    found = [one for one in _processes.marked(cluster.folder) if _MODULES[what] in _words(one)]
    pids = {one.pid for one in found}
    return next(one for one in found if one.ppid() in pids)


def _words(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return ""
