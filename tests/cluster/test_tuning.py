"""Horovod that tunes itself, in engines of its own: it cannot be started again in them."""

from __future__ import annotations

from pathlib import Path

from interactive_dl.cluster import Cluster
from interactive_dl.errors import GroupError

TRAIN = """
import keras
import numpy as np
from interactive_dl import engine

group = engine.init(seed=1, tuning=engine.Tuning(cycle_ms=1, autotune=True, autotune_log={log!r}))
model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
model.compile(engine.distribute(keras.optimizers.SGD(0.1)), "mse")
x = np.random.default_rng(group.rank).normal(size=(64, 4)).astype("float32")
model.fit(x, x[:, :3], batch_size=8, epochs=2, verbose=0)
weights = [value.tobytes() for value in model.get_weights()]
"""

AGAIN = """
told = ""
try:
    engine.init(tuning=engine.Tuning())
except Exception as error:
    told = f"{type(error).__name__}: {error}"
"""


def test_horovod_tunes_itself_and_says_on_every_rank_that_it_cannot_start_again(
    own_ipython_folder: Path, tmp_path: Path
) -> None:
    log = tmp_path / "tried.csv"
    with Cluster(2) as cluster:
        view = cluster.client[:]
        view.execute(TRAIN.format(log=str(log)), block=True)
        first, second = view["weights"]
        assert first == second
        assert log.read_text().startswith("hierarchical_allreduce")
        view.execute(AGAIN, block=True)
        for told in view["told"]:
            assert told.startswith(f"{GroupError.__name__}: ")
            assert "cluster.restart()" in told
