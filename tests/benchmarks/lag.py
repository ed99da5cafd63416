"""Gradient lag behind a slow network: ``lag.py``, as root on Linux.

Two ranks that talk over the loopback device of a network namespace of their own, whose rate is
limited there. In one process the same network trains with and without lag, by turns.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import date
from pathlib import Path
from statistics import median

from report import machine, median_and_interval

from interactive_dl.cluster.environment import mpi_environment, mpiexec_arguments

DOCS = Path(__file__).resolve().parents[2] / "docs"
COMMAND = ".venv/bin/python tests/benchmarks/lag.py"
RANKS = 2
RATES_MBIT: tuple[int | None, ...] = (None, 1000)
BACKENDS = ("tensorflow", "torch")
STEPS, EPOCHS, BATCH, WIDTH = 8, 7, 256, 768
TIMEOUT_S = 600
PLAIN, LAGGED = "without lag", "with lag"


def measure(backend: str, rate_mbit: int | None) -> dict[str, list[float]]:
    """Seconds per step of each epoch, without and with lag."""
    environment = os.environ | mpi_environment(RANKS, threads=1)
    environment |= {"KERAS_BACKEND": backend, "OMPI_MCA_pml": "ob1", "OMPI_MCA_btl": "self,tcp"}
    environment |= {"OMPI_MCA_btl_tcp_if_include": "lo"}
    start = mpiexec_arguments(RANKS, bind=True, fault_tolerant=False)
    limit = f"tc qdisc add dev lo root tbf rate {rate_mbit}mbit burst 256kb latency 200ms"
    script = f'ip link set lo up && {limit if rate_mbit else "true"} && exec "$@"'
    command = [*start, sys.executable, __file__, "--rank"]
    done = subprocess.run(
        ["unshare", "--net", "bash", "-c", script, "bash", *command],
        env=environment,
        check=True,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    measured: dict[str, list[float]] = json.loads(done.stdout.splitlines()[-1])
    return measured


def train() -> None:
    """One rank: turns with and without lag; rank 0 prints what they took."""
    import time

    import keras
    import numpy as np

    from interactive_dl import engine

    group = engine.init(seed=0)
    generator = np.random.default_rng(group.rank)
    x = generator.random((STEPS * BATCH, WIDTH), dtype=np.float32)

    class Clock(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: object = None) -> None:
            self.begin_s = time.perf_counter()

        def on_train_batch_end(self, batch: int, logs: object = None) -> None:
            self.took_s = time.perf_counter() - self.begin_s

    models = {}
    for name in (PLAIN, LAGGED):
        sgd = keras.optimizers.SGD(1e-3)
        layers = [keras.layers.Dense(WIDTH, activation="relu") for _ in range(3)]
        models[name] = keras.Sequential([keras.Input((WIDTH,)), *layers])
        optimizer = engine.Lagged(sgd) if name == LAGGED else sgd
        models[name].compile(engine.distribute(optimizer), "mse")
    measured: dict[str, list[float]] = {name: [] for name in models}
    for epoch in range(EPOCHS + 1):
        for name, model in models.items():
            clock = Clock()
            callbacks = [*engine.callbacks(name, drift_steps=()), clock]
            model.fit(x, x, batch_size=BATCH, shuffle=False, verbose=0, callbacks=callbacks)
            if epoch:  # the first compiles
                measured[name].append(clock.took_s / STEPS)
    if group.rank == 0:
        print(json.dumps(measured))


def table(results: dict[str, dict[str, list[float]]]) -> str:
    """Markdown."""
    lines = [
        "| backend, network | | s per step, median | 95 % interval |",
        "|---|---|---|---|",
    ]
    for setting, measured in results.items():
        for name, seconds in measured.items():
            lines.append(f"| {setting} | {name} | {median_and_interval(seconds)} |")
        ratio = median(a / b for a, b in zip(measured[PLAIN], measured[LAGGED], strict=True))
        lines.append(f"| {setting} | steps in the same time | {ratio:.2f} x | |")
    return "\n".join(lines)


def main() -> None:
    """Measure, and write ``docs/lag_benchmarks``."""
    results = {}
    for backend in BACKENDS:
        for rate in RATES_MBIT:
            setting = f"{backend}, {f'{rate} Mbit/s' if rate else 'unlimited'}"
            results[setting] = measure(backend, rate)
            print(table({setting: results[setting]}), flush=True)
    weights = 3 * (WIDTH + 1) * WIDTH
    text = f"""# Gradient lag behind a slow network

{RANKS} ranks, one core each, over TCP on a loopback device with a limited rate; {weights:,} weights
({weights * 4 / 1e6:.1f} MB), batch {BATCH} on each rank, {EPOCHS} turns of {STEPS} steps each, with
and without lag in turns. `{COMMAND}`, {date.today()}, {machine()}.

{table(results)}
"""
    (DOCS / "lag_benchmarks.md").write_text(text)
    (DOCS / "lag_benchmarks.json").write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    train() if sys.argv[1:] == ["--rank"] else main()
