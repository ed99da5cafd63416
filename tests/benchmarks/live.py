"""What watching and steering cost, and what the recorder stands: ``live.py [--part P]``.

The cost: the same fit on two engines in turn, with it, and without the callback that tells and
listens, the control word among the gradients, and the clock of the phases of a step.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import telemetry
from report import machine, median_and_interval

from interactive_dl import Cluster

FOLDER = Path(__file__).resolve().parent
RECORD = FOLDER.parents[1] / "docs" / "live_benchmarks.json"
RANKS = 2
COMMAND = ".venv/bin/python tests/benchmarks/live.py"

SETUP = f"""
import sys
import time
from contextlib import nullcontext
from unittest import mock

import keras
import numpy as np
from interactive_dl import data, engine
from interactive_dl.engine import _fit, _horovod, _reduction
from interactive_dl.engine._live import Live
from interactive_dl.science.rpv import build_model

sys.path.insert(0, {str(FOLDER)!r})
from workload import BATCH, STEPS, images_and_labels

group = engine.init(seed=0)
images, labels = zip(*map(images_and_labels, range(group.size)))
train = data.from_arrays(np.concatenate(images), np.concatenate(labels)).shard(group).batch(BATCH)


class Plain(_reduction.Reduction):
    def __call__(self, gradients):
        framework = _horovod.keras_framework()
        return _horovod.reduce(
            framework, gradients, name=self.name, op=self.op, compression=self.compression)


class Meter(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        self.wall_s, self.cpu_s = time.perf_counter(), time.process_time()

    def on_epoch_end(self, epoch, logs=None):
        self.wall_s = (time.perf_counter() - self.wall_s) / STEPS
        self.cpu_s = (time.process_time() - self.cpu_s) / STEPS


def compiled(is_on):
    model = build_model()
    optimizer = engine.distribute(keras.optimizers.Adam(engine.scale_lr(1e-3)))
    if not is_on:
        one = _reduction.reduction_of(optimizer)
        _reduction.attach(optimizer, Plain(one.name, one.op, one.compression))
    model.compile(optimizer, "binary_crossentropy", metrics=["accuracy"])
    return model


models = {{is_on: compiled(is_on) for is_on in (True, False)}}


def measured(is_on):
    untimed = mock.patch.object(_fit, "_time_steps", lambda *_: None)
    callbacks = engine.callbacks("cost")
    if not is_on:
        callbacks = [one for one in callbacks if not isinstance(one, Live)]
    meter = Meter()
    with nullcontext() if is_on else untimed:
        models[is_on].fit(train, epochs=2, verbose=0, callbacks=[*callbacks, meter])
    return meter.wall_s, meter.cpu_s
"""


@contextmanager
def engines() -> Iterator[Any]:
    """A view of two engines, a core each, that have both models compiled."""
    with Cluster(engines=RANKS, threads_per_engine=1, binding="core") as cluster:
        view = cluster.client[:]
        view.execute(SETUP, block=True)
        for is_on in (True, False):
            turn(view, is_on)
        yield view


def turn(view: Any, is_on: bool) -> tuple[float, float]:
    """Seconds and seconds of CPU per step, means over the ranks, of one epoch."""
    view.execute(f"step = measured({is_on})", block=True)
    wall_s, cpu_s = np.mean(view["step"], axis=0)
    return float(wall_s), float(cpu_s)


def measure(pairs: int) -> list[dict[str, float]]:
    """Pair by pair, in changing order."""
    measured = []
    with engines() as view:
        for number in range(pairs):
            order = (True, False) if number % 2 else (False, True)
            told = {is_on: turn(view, is_on) for is_on in order}
            pair = {"speed": told[False][0] / told[True][0], "cpu": told[True][1] / told[False][1]}
            measured.append(pair)
            print(f"pair {number + 1}: {pair}", flush=True)
    return measured


def table(pairs: list[dict[str, float]]) -> str:
    """Medians and their 95 % intervals, in Markdown."""
    lines = [
        "| with / without | median | 95 % interval of the median | goal |",
        "|---|---|---|---|",
    ]
    goals = {"speed": ("samples/s", "≥ 0.99"), "cpu": ("CPU time per step", "≤ 1.01")}
    for key, (name, goal) in goals.items():
        lines.append(f"| {name} | {median_and_interval([one[key] for one in pairs])} | {goal} |")
    return "\n".join(lines)


def write(record: dict[str, Any]) -> None:
    """Print the tables, and keep them in ``docs/``."""
    cost, telling = record["cost"], record["telling"]
    text = (
        f"# What watching and steering cost\n\nMeasured by `{COMMAND} --part cost` on"
        f" {cost['date']} ({cost['machine']}): {len(cost['pairs'])} pairs of epochs of the RPV"
        f" network (64x64 images, batch 128 per rank) on {RANKS} engines, one thread and one"
        " pinned core each. *With* is a run as `engine.callbacks` makes it, five reports a second,"
        " the recorder"
        " beside it; *without* has neither reports and commands, nor the control word among the"
        f" gradients, nor the clock of the step's phases.\n\n{table(cost['pairs'])}\n\n"
        f"## Telling and following\n\nMeasured by `{COMMAND} --part telling` on"
        f" {telling['date']} ({telling['machine']}).\n\n"
        f"{telemetry.table([telemetry.Row(**row) for row in telling['rows']])}\n"
    )
    print(f"\n{text}")
    RECORD.write_text(json.dumps(record, indent=1) + "\n")
    RECORD.with_suffix(".md").write_text(text)


def main() -> None:
    """Measure, print, and write; a part that is not measured stays as it was."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=24)
    parser.add_argument("--part", choices=("cost", "telling"), help="both by default")
    options = parser.parse_args()
    record = json.loads(RECORD.read_text()) if options.part else {}
    of = {"date": date.today().isoformat(), "machine": machine()}
    if options.part != "telling":
        record["cost"] = {**of, "pairs": measure(options.pairs)}
    if options.part != "cost":
        rows = telemetry.measure(telemetry.FULL)
        record["telling"] = {**of, "rows": [vars(row) for row in rows]}
    write(record)


if __name__ == "__main__":
    main()
