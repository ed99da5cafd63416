"""A training script runs as it is without ``mpiexec``: one process, a group of one."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import numpy as np
from interactive_dl import engine

group = engine.init(seed=0)
import keras

model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
model.compile(engine.distribute("sgd"), "mse")
x = np.ones((8, 4))
model.fit(x, x[:, :1], verbose=0, callbacks=engine.callbacks("alone"))
print(group.rank, group.size, float(group.comm.allreduce(2.0)))
"""


def test_a_script_trains_without_mpiexec() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["0", "1", "2.0"]
