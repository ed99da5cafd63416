"""Searches on real engines: farmed out, steered, promoted, and gone on with whatever is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import ipyparallel
import psutil
import pytest

import interactive_dl as idl
from interactive_dl import cli
from interactive_dl.cluster import Cluster, _processes
from interactive_dl.cluster.controller._parts import Parts
from interactive_dl.errors import ActionRefusedError, EnginesBusyError
from interactive_dl.search import _launching, events
from interactive_dl.search.book import Trial
from interactive_dl.telemetry import journal

ENGINES = 4
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


def remembering(trial: Any) -> None:
    """Keeps the weights that it begins with, and those after each epoch."""
    import time

    import keras
    import numpy as np

    from interactive_dl import data

    class Weights(keras.callbacks.Callback):
        def on_train_begin(self, logs: Any = None) -> None:
            self.keep("begin")
            print("rate", float(self.model.optimizer.learning_rate))

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            self.keep(str(epoch + 1))
            time.sleep(0.1)

        def keep(self, when: str) -> None:
            flat = np.concatenate([one.ravel() for one in self.model.get_weights()])
            if trial.group.rank == 0:
                (trial.folder / f"weights-{when}").write_bytes(flat.tobytes())

    x = np.random.default_rng(0).normal(size=(64, 4)).astype("float32")
    batches = data.from_arrays(x, x.sum(axis=1, keepdims=True)).shard(trial.group).batch(8)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(4), keras.layers.Dense(1)])
    model.compile(trial.distribute(keras.optimizers.SGD(trial.params["lr"])), "mse")
    callbacks = [*trial.callbacks(), Weights()]
    model.fit(batches, epochs=trial.params["epochs"], callbacks=callbacks, verbose=0)


@ipyparallel.interactive
def train_on(checkpoint: str) -> int:
    """Trains on all engines until it is stopped; gives the steps that it has done."""
    import keras
    import numpy as np

    from interactive_dl import data, engine

    group = engine.init(seed=1)
    x = np.random.default_rng(0).normal(size=(192, 4)).astype("float32")
    batches = data.from_arrays(x, x.sum(axis=1, keepdims=True)).shard(group).batch(8)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile(engine.distribute(keras.optimizers.SGD(1e-3)), "mse")
    callbacks = engine.callbacks("long", checkpoint=checkpoint)
    model.fit(batches, epochs=100_000, callbacks=callbacks, verbose=0)
    return int(model.optimizer.iterations)


def test_a_search_tries_everything_once_and_is_found_again(engines: Cluster) -> None:
    search = idl.Search(quick, {"x": idl.uniform(0, 1)}, metric="loss", name="toy")
    search.start(engines, trials=9)
    assert search.wait(TIMEOUT_S) == "finished"
    trials = search.book.trials
    assert [trial.state for trial in trials] == ["finished"] * 9
    assert {trial.attempts[0].engines for trial in trials} == {(one,) for one in range(ENGINES)}
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


def test_a_search_that_has_ended_goes_on_when_it_is_given_more_to_do(
    engines: Cluster, until: Until
) -> None:
    search = idl.Search(quick, {"x": idl.uniform(0, 1)}, metric="loss", name="more")
    search.start(engines, trials=3).wait(TIMEOUT_S)
    told: list[events.Record] = []
    looking = idl.Search.attach("more", cluster=engines)
    looking.subscribe(lambda _, records: told.extend(records))
    assert looking.state == "finished"
    search = idl.Search.attach("more", cluster=engines)
    with pytest.raises(ActionRefusedError, match="x"):
        search.enqueue({"x": 2.0})
    search.enqueue({"x": 0.0})
    assert search.wait(TIMEOUT_S) == "finished"
    assert search.best.number == 3
    search.set_trials(5)
    assert search.wait(TIMEOUT_S) == "finished"
    for one in (search, looking):  # others' notebooks see it, too
        until(lambda one=one: len(one.book.trials) == 6 and one.state == "finished", repr(one))
    assert [one.seq for one in told] == list(range(len(told))), "each record once"
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

    later, sooner = ENGINES, ENGINES + 1
    search.enqueue({"x": 0.25})
    search.enqueue({"x": 0.75}, priority=1)
    search.stop_trial(0)
    until(lambda: book.trials[0].is_over, "trial 0 stopped")
    assert book.trials[0].state == "stopped"
    until(lambda: len(book.running) == ENGINES, "the next one began")
    assert sooner in book.running, "the one of higher priority first"

    search.pause_trial(1)
    until(lambda: book.trials[1].state == "paused", "trial 1 paused")
    until(lambda: later in book.running, "its engine tries another")
    reached = max(book.trials[1].reports)
    search.stop_trial(later)
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
    (promoted,) = (one for one in book.trials if one.origin == "promotion")
    until(lambda: promoted.is_over, "it was promoted", TIMEOUT_S)
    assert (promoted.state, promoted.why) == ("finished", "")
    assert promoted.attempts[0].engines == tuple(range(ENGINES))
    begun = min(promoted.reports) - 1
    assert begun >= reached
    assert sorted(promoted.reports) == [begun + 1, begun + 2]
    trained = engines.runs[promoted.attempts[0].run].history
    assert trained.started is not None
    assert trained.started.engines == tuple(range(ENGINES))
    rate = float(search.output(promoted.number)[-1].split()[1])
    assert rate == pytest.approx(ENGINES * 2e-4)
    until(lambda: long.state == "running", "what gave way went on")

    search.promote(promoted, epochs=10_000)
    again = book.trials[-1]
    until(lambda: again.reports, "it was promoted further", TIMEOUT_S)
    search.demote()
    until(lambda: again.state == "stopped", "all its engines left after one step")
    until(lambda: long.state == "running", "and went back to searching")
    search.stop()
    search.wait(TIMEOUT_S)


def test_a_training_is_stopped_at_a_checkpoint_before_a_search_only_when_told_to(
    engines: Cluster, until: Until, tmp_path: Path
) -> None:
    checkpoint = tmp_path / "long.keras"
    training = engines.client[:].apply_async(train_on, str(checkpoint))
    until(lambda: "long" in engines.runs, "it has begun", TIMEOUT_S)
    run = engines.runs["long"]
    until(lambda: run.history.step, "it trains", TIMEOUT_S)

    search = idl.Search(quick, {"x": idl.uniform(0, 1)}, metric="loss", name="after")
    with pytest.raises(EnginesBusyError, match=rf"{run.id}.*{list(range(ENGINES))}.*stop_runs"):
        search.start(engines, trials=2)
    assert search.state == "not started"
    assert run.state == "running"

    search.start(engines, trials=2, stop_runs=True)
    assert run.state == "stopped"
    with zipfile.ZipFile(checkpoint) as archive:
        assert json.loads(archive.read("interactive_dl.json"))["step"] == run.history.step
    assert search.wait(TIMEOUT_S) == "finished"
    assert set(training.get(TIMEOUT_S)) == {run.history.step}


def test_clones_and_populations_begin_with_the_weights_of_another_trial(
    engines: Cluster, until: Until
) -> None:
    search = idl.Search(
        remembering,
        {"lr": idl.choice(0.01, 1e-9), "epochs": 10_000},
        metric="loss",
        sampler="grid",
        pruner="population",
        pruner_options={"every": 2, "fraction": 0.5},
        name="population",
    )
    search.start(engines, trials=2, concurrency=2)
    book = search.book
    until(lambda: any(one.origin == "exploit" and one.reports for one in book.trials), "", 60)
    copy = next(one for one in book.trials if one.origin == "exploit")
    assert book.trials[copy.parent].params["lr"] == 0.01
    given_up = next(one for one in book.trials if one.state == "pruned")
    assert f"a copy of trial {copy.parent}" in given_up.why
    epoch = _epoch_of_first_weights(search, copy, of=book.trials[copy.parent])
    assert min(copy.reports) == epoch + 1, "it goes on where the other one was"

    search.set_concurrency(3)
    search.clone(copy.parent, warm=True, lr=1e-9)
    clone = next(one for one in book.trials if one.origin == "clone")
    until(lambda: clone.reports, "the clone trains", 60)
    assert _epoch_of_first_weights(search, clone, of=book.trials[copy.parent]) >= epoch
    assert min(clone.reports) == 1, "it counts its own epochs"
    for one in (copy, clone):
        rate = float(next(line for line in search.output(one.number) if "rate" in line).split()[1])
        assert rate == pytest.approx(one.params["lr"])
    search.stop()
    search.wait(TIMEOUT_S)


def test_a_group_that_loses_an_engine_goes_on_from_its_checkpoint_and_others_do_not_notice(
    engines: Cluster, until: Until
) -> None:
    space = {"lr": idl.log_uniform(1e-4, 1e-2), "epochs": 30}
    search = idl.Search(remembering, space, metric="loss", name="groups", seed=2)
    search.start(engines, trials=3, engines_per_trial=2)
    book = search.book
    until(lambda: len(book.running) == 2 and book.trials[0].checkpoint_step, "", TIMEOUT_S)
    kept, lost = book.trials[0].engines
    reached = book.trials[0].checkpoint_step
    os.kill(next(one.pid for one in engines.engines if one.id == lost), signal.SIGKILL)
    assert search.wait(TIMEOUT_S) == "finished"
    assert [one.state for one in book.trials] == ["finished"] * 3
    assert [sorted(one.reports) for one in book.trials] == [list(range(1, 31))] * 3
    hurt, *others = book.trials
    assert (hurt.crashed_on, len(hurt.attempts)) == ({lost}, 2)
    assert lost not in hurt.attempts[1].engines
    assert _epoch_of_first_weights(search, hurt, of=hurt) >= reached
    assert [len(one.attempts) for one in others] == [1, 1]
    assert kept in {engine for one in book.trials for engine in one.attempts[-1].engines}
    assert sorted(_ended(search)) == [0, 1, 2]


def _epoch_of_first_weights(search: idl.Search, trial: Trial, *, of: Trial) -> int:
    """After how many epochs another trial's weights were those that this one began with."""
    folder = search.runs_folder / search.id
    first = (folder / f"trial-{trial.number}" / "weights-begin").read_bytes()
    files = (folder / f"trial-{of.number}").glob("weights-[0-9]*")
    found = [int(one.name.split("-")[1]) for one in files if one.read_bytes() == first]
    assert len(found) == 1, "the weights are those of one epoch"
    return found[0]


def test_trials_do_not_wait_behind_what_others_do_on_an_engine(
    engines: Cluster, until: Until, tmp_path: Path
) -> None:
    first, *others = engines.client.ids
    queues = engines.client.queue_status
    cell = Cell(engines, first, tmp_path / "cell", until)
    search = idl.Search(patient, {"x": idl.uniform(0, 1)}, metric="loss", name="beside")
    search.start(engines, trials=len(others))
    book = search.book
    until(lambda: all(one.reports for one in book.trials) and len(book.running) == 3, "")
    assert {one.engines for one in book.trials} == {(one,) for one in others}
    search.enqueue({"x": 0.5})
    last = book.trials[-1]
    assert last.state == "queued"
    cell.let_go()
    until(lambda: last.reports, "the engine came back to the search")
    assert last.engines == (first,)
    search.stop_trial(last.number)
    until(lambda: last.is_over and not queues(first)["tasks"], "the engine is free")

    hub = psutil.Process(Parts.read(engines.folder).hub)
    hub.suspend()  # so that the search does not know of the cell
    try:
        cell = Cell(engines, first, tmp_path / "another", until)
        search.enqueue({"x": 0.25})
        stuck = book.trials[-1]
        until(lambda: stuck.engines == (first,), "it was sent behind the cell")
        search.stop_trial(0)
    finally:
        hub.resume()
    until(lambda: stuck.reports, "it was withdrawn, and went elsewhere")
    assert (stuck.crashes, len(stuck.attempts)) == (0, 2)
    assert stuck.engines == book.trials[0].attempts[0].engines
    reached = max(stuck.reports)
    cell.let_go()
    until(lambda: not queues(first)["tasks"], "the engine has taken what was withdrawn")
    until(lambda: max(stuck.reports) > reached, "which changed nothing")
    assert len(stuck.attempts) == 2
    search.stop()
    search.wait(TIMEOUT_S)


class Cell:
    """Keeps an engine busy, as a person's cell does, until ``let_go``."""

    def __init__(self, cluster: Cluster, engine: int, path: Path, until: Until) -> None:
        self._end = path.with_suffix(".end")
        self._result = cluster.client[engine].apply_async(_sit, str(path), str(self._end))
        until(path.exists, "the cell has begun")

    def let_go(self) -> None:
        self._end.touch()
        self._result.get(TIMEOUT_S)


@ipyparallel.interactive
def _sit(begun: str, end: str) -> None:
    import time
    from pathlib import Path

    Path(begun).touch()
    while not Path(end).exists():
        time.sleep(0.01)


def test_limits_given_with_a_resume_are_in_force_before_anything_ends(
    engines: Cluster, monkeypatch: pytest.MonkeyPatch, until: Until
) -> None:
    search = idl.Search(quick, {"x": idl.uniform(0, 1)}, metric="loss", name="cut")
    search.start(engines, trials=1).wait(TIMEOUT_S)
    until(lambda: not _launching.is_driven(engines.runs_folder, search.id), "its driver has ended")
    search.close()
    path = journal.path_of(engines.runs_folder, f"{search.id}.search")
    *lines, last = path.read_bytes().splitlines(keepends=True)
    assert b'"Ended"' in last
    path.write_bytes(b"".join(lines))  # as if the driver had been killed before

    monkeypatch.setenv("IDL_RUNS", str(engines.runs_folder))
    with pytest.raises(ActionRefusedError, match="limit"):
        idl.Search.attach(search.id).resume(engines, trials=-1)
    words = ["search", "--resume", search.id, "--cluster", engines.id, "--trials", "3"]
    assert cli.main(words) == 0
    told = [type(one.event) for one in events.records(path)]
    assert told.count(events.TrialEnded) == 3
    assert events.Reopened not in told, "it did not end meanwhile"


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
    assert sorted(_ended(search)) == list(range(60))


def _ended(search: idl.Search) -> list[int]:
    """Trials by the records of their ends."""
    path = journal.path_of(search.runs_folder, f"{search.id}.search")
    told = [one.event for one in events.records(path)]
    return [one.trial for one in told if isinstance(one, events.TrialEnded)]


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
