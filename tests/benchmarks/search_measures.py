"""What only our searches are measured by: how they grow, and how fast a trial stops."""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psutil
from search_ours import TIMEOUT_S, WORKERS, empty

import interactive_dl as idl

SPACE = {"x": idl.uniform(0.0, 1.0)}


@contextmanager
def engines() -> Iterator[idl.Cluster]:
    """A cluster whose journals are not kept."""
    with (
        tempfile.TemporaryDirectory(prefix="idl-bench-") as runs,
        idl.Cluster(WORKERS, runs=runs) as cluster,
    ):
        yield cluster


def await_(is_so: Callable[[], Any], what: str) -> None:
    """Wait for a condition."""
    deadline_s = time.monotonic() + TIMEOUT_S
    while not is_so():
        if time.monotonic() > deadline_s:
            raise TimeoutError(f"not within {TIMEOUT_S:g} s: {what}")
        time.sleep(0.02)


def growth(trials: int, window: int) -> dict[str, float]:
    """Empty trials by the random sampler.

    Args:
        trials: that have ended when the second window begins; the first begins at 100.
        window: trials.

    Returns:
        Trials per second in both windows (``early``, ``late``), and the driver's resident memory
        in MiB (``early_mib``, ``late_mib``) at their ends.
    """
    with engines() as cluster:
        search = idl.Search(empty, SPACE, metric="loss", sampler="random", name="growth")
        search.start(cluster, trials=trials + window)
        driver = _driver_of(search.id)
        early_mib = _memory_mib(search, driver, 100 + window)
        late_mib = _memory_mib(search, driver, trials)
        search.wait(TIMEOUT_S)
        ends = sorted(trial.ended_s or 0.0 for trial in search.book.trials)
        search.close()
    return {
        "early": window / (ends[100 + window - 1] - ends[99]),
        "late": window / (ends[trials + window - 1] - ends[trials - 1]),
        "early_mib": early_mib,
        "late_mib": late_mib,
    }


def _memory_mib(search: idl.Search, driver: psutil.Process, trials: int) -> float:
    """Of the driver, once so many trials have been made."""
    await_(lambda: len(search.book.trials) >= trials, f"{trials} trials")
    return float(driver.memory_info().rss) / 2**20


def _driver_of(search: str) -> psutil.Process:
    """The process that runs a search: the child of the one that begins it anew when it dies."""
    found = [
        one for one in psutil.process_iter(["cmdline"]) if search in (one.info["cmdline"] or ())
    ]
    return max(found, key=lambda one: one.create_time())


def looking(trial: Any) -> float:
    """Runs until it is told to stop, and then says when it heard that."""
    import time

    while not trial.should_stop:
        time.sleep(0.001)
    trial.report(1, heard_s=time.time())
    return 0.0


def stops(count: int) -> list[float]:
    """Seconds from ``stop_trial`` until the objective sees that it is to return.

    The engine's next trial must not notice: it runs on until its own turn has come.
    """
    asked_s: dict[int, float] = {}
    with engines() as cluster:
        search = idl.Search(looking, SPACE, metric="loss", name="stops")
        search.start(cluster, trials=count + WORKERS)
        for number in range(count):
            await_(lambda n=number: n in search.book.running, f"trial {number} runs")
            # The first ones wait for what their engines have to load.
            time.sleep(random.uniform(0.05, 0.25) + (1.0 if number < WORKERS else 0.0))
            asked_s[number] = time.time()
            search.stop_trial(number)
            await_(lambda n=number: search.book.trials[n].is_over, f"trial {number} is over")
        await_(lambda: len(search.book.running) == WORKERS, "the last ones run")
        trials = search.book.trials
        assert all(len(trial.attempts) == 1 for trial in trials)
        assert {trial.state for trial in trials[:count]} == {"stopped"}
        search.stop()
        search.wait(TIMEOUT_S)
        heard_s = {n: search.book.trials[n].reports[1]["heard_s"] for n in asked_s}
        search.close()
    return [float(heard_s[n] or 0.0) - asked_s[n] for n in asked_s]


def stepping(trial: Any) -> float:
    """Trains two steps, and says when the first was done and how many engines did it."""
    import time

    import keras
    import numpy as np

    group = trial.group

    class First(keras.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            if batch == 0:
                trial.report(0, stepped_s=time.time(), engines=group.size)

    x = np.zeros((64, 8), "float32")
    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(8), keras.layers.Dense(1)])
    model.compile(trial.distribute(keras.optimizers.SGD(0.1)), "mse")
    model.fit(x, x[:, :1], batch_size=32, verbose=0, callbacks=[*trial.callbacks(), First()])
    return 0.0


def regroupings(count: int) -> dict[str, list[float]]:
    """Seconds from a trial's start until its engines have done a Keras step together.

    The same engines try trials alone, in pairs, and all together, in turns; each forms its group,
    makes its model and traces it anew. The first round, which loads Keras, is left out.

    Returns:
        by number of engines; in a journal's time, from ``TrialStarted`` to the end of the step.
    """
    sizes = (1, 2, WORKERS)
    taken: dict[str, list[float]] = {str(size): [] for size in sizes}
    with engines() as cluster:
        for turn in range(count + 1):
            for size in sizes:
                search = idl.Search(stepping, SPACE, metric="stepped_s", name="regroup")
                search.start(cluster, trials=WORKERS // size, engines_per_trial=size)
                search.wait(TIMEOUT_S)
                for trial in search.book.trials:
                    assert trial.reports[0]["engines"] == size, (trial.state, trial.why)
                    began_s = trial.attempts[0].began_s
                    if turn:
                        taken[str(size)].append(float(trial.reports[0]["stepped_s"]) - began_s)
                search.close()
    return taken
