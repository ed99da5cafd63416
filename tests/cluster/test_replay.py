"""A steered training of a cluster, trained again from its journal: the same curve bit for bit."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from interactive_dl.cluster import Cluster, replay
from interactive_dl.telemetry.run import Run

TIMEOUT_S = 120

CELL = """
import keras
import numpy as np
from interactive_dl import data, engine

group = engine.init(seed=3)
x = np.random.default_rng({seed}).normal(size=(400, 6)).astype("float32")
y = (x.sum(axis=1) > 0).astype("float32")
train = data.from_arrays(x, y).shard(group, seed=3).batch(8)
model = keras.Sequential([
    keras.Input((6,)), keras.layers.Dense(8, activation="relu"), keras.layers.Dropout(0.3),
    keras.layers.BatchNormalization(), keras.layers.Dense(1, activation="sigmoid"),
])
model.compile(
    engine.distribute(keras.optimizers.SGD(0.05, momentum=0.9)), "binary_crossentropy",
    metrics=["accuracy"])
model.fit(train, epochs=5000, validation_data=train, verbose=0,
          callbacks=engine.callbacks("steered", warmup_epochs=2, plateau={{"patience": 1}}))
"""


@pytest.fixture
def steered(
    own_ipython_folder: Path, tmp_path: Path, until: Callable[..., None]
) -> tuple[Run, Path]:
    with Cluster(2, runs=tmp_path / "runs") as cluster:
        training = cluster.client[:].execute(CELL.format(seed=0))
        until(lambda: "steered" in [one.name for one in cluster.runs.summaries()], "begun", 60)
        run = cluster.runs["steered"]
        until(lambda: run.history.step > 20, "it trains", 60)
        run.set(learning_rate=0.01)
        run.set(momentum=0.5, dropout=0.6)
        run.pause()
        run.resume()
        run.evaluate()
        run.stop(after="step")
        training.get(timeout=TIMEOUT_S)
        run.wait(10)
    return run, tmp_path / "runs" / f"{run.id}.jsonl"


def test_a_journal_is_trained_again_bit_for_bit(steered: tuple[Run, Path], tmp_path: Path) -> None:
    run, journal = steered
    assert len([one for one in run.history.commands if one.state == "applied"]) == 6
    assert replay.run(journal) is None

    other = tmp_path / "other.jsonl"
    other.write_text(journal.read_text().replace("default_rng(0)", "default_rng(1)"))
    difference = replay.run(other)
    assert difference is not None
    assert difference.metric in {"loss", "accuracy", "val_loss", "val_accuracy"}

    folder = tmp_path / "batch"
    script = replay.export(journal, folder)
    begin_s = time.time()
    done = subprocess.run(["bash", "-n", str(script)], check=False)
    assert done.returncode == 0
    assert (folder / "program.py").stat().st_mtime <= begin_s
    compile((folder / "program.py").read_text(), "program.py", "exec")
