"""A rank that is slower than the others is found out, though all take equally long for a step."""

from __future__ import annotations

import numpy as np
import pytest

from interactive_dl.cluster import Cluster
from interactive_dl.telemetry.history import History
from interactive_dl_widgets.views.ranks import heat_map, phase_bars

TIMEOUT_S = 120
SLOW_RANK = 1
STEP_S, SLOWER = 0.1, 1.3
LOST_S = STEP_S * (SLOWER - 1)
FIRST_STEP, CHANGE, STEPS = 4, 18, 34

CELL = """
import time

import keras
import numpy as np
from interactive_dl import data, engine

class Work(keras.callbacks.Callback):
    # after the package's own callbacks: the step has begun

    def on_train_batch_begin(self, batch, logs=None):
        is_slow = engine.current().rank == slow_rank and batch >= change
        time.sleep(step_s * (slower if is_slow else 1))

group = engine.init(seed=1)
x = np.random.default_rng(0).normal(size=(8 * group.size * steps, 6)).astype("float32")
model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(1)])
model.compile(engine.distribute(keras.optimizers.SGD(0.01)), "mse")
model.fit(
    data.from_arrays(x, x[:, :1]).shard(group).batch(8), verbose=0,
    callbacks=[*engine.callbacks("straggler"), Work()],
)
"""


@pytest.fixture(scope="module")
def history(long_lived: Cluster) -> History:
    """Of a training whose rank 1 is slower by 30 % from the middle on."""
    if long_lived.state.name != "ready":
        long_lived.restart()
    engines = long_lived.client[:]
    engines.push(
        {
            "slow_rank": SLOW_RANK,
            "change": CHANGE,
            "step_s": STEP_S,
            "slower": SLOWER,
            "steps": STEPS,
        },
        block=True,
    )
    engines.execute(CELL).get(timeout=TIMEOUT_S)
    run = long_lived.runs["straggler"]
    assert run.wait(TIMEOUT_S) == "finished"
    return run.history


def halves(history: History, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of the reports before and after the rank became slow, shape (reports, ranks); those that tell
    of the first steps, which compile the model, or of both sides are left out.
    """
    ends = history.rank_times.step
    begins = np.concatenate([[0], ends[:-1]])
    before = (begins >= FIRST_STEP) & (ends <= CHANGE)
    after = begins >= CHANGE
    assert min(before.sum(), after.sum()) >= 3, f"reports after steps {ends}"
    return values[before], values[after]


def test_a_ranks_own_time_rises_by_what_it_is_slower(history: History) -> None:
    times = history.rank_times
    before, after = halves(history, times.data_wait_s + times.compute_s)
    # What a busy machine adds is never negative.
    rise = after.min(axis=0) / before.min(axis=0)
    expected = np.ones(len(rise))
    expected[SLOW_RANK] = SLOWER
    assert rise == pytest.approx(expected, abs=0.12)


def test_the_others_wait_so_much_longer_in_the_allreduce(history: History) -> None:
    waits_s = history.rank_times.allreduce_wait_s
    # Beside the slow rank's own wait: what a busy machine adds to everybody's is in both.
    before, after = halves(history, waits_s - waits_s[:, [SLOW_RANK]])
    longer = np.delete(np.median(after, axis=0) - np.median(before, axis=0), SLOW_RANK)
    assert longer == pytest.approx(np.full(len(longer), LOST_S), abs=0.6 * LOST_S)


def test_a_step_takes_equally_long_on_all_ranks(history: History) -> None:
    times = history.rank_times
    step_s = times.data_wait_s + times.compute_s + times.allreduce_wait_s + times.other_s
    for half in halves(history, step_s):
        assert half.max(axis=1) == pytest.approx(half.min(axis=1), rel=0.15)


def test_the_slow_ranks_cells_are_the_hottest_of_the_heat_map(history: History) -> None:
    view = heat_map(history)
    begins = (view.step - view.width / 2).reshape(-1, view.rows)[:, 0]
    cells = view.relative.reshape(-1, view.rows)[begins >= CHANGE]
    hottest = cells.argmax(axis=1)
    assert (hottest == SLOW_RANK).mean() > 0.7
    assert np.median(cells[:, SLOW_RANK]) == pytest.approx(SLOWER, abs=0.12)
    assert view.who[SLOW_RANK].startswith(f"rank {SLOW_RANK} on ")
    assert phase_bars(history).phases_ms["allreduce_wait_s"].argmin() == SLOW_RANK
