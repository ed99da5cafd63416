"""How fast people are heard, and the dead replaced: ``steering.py [--commands N] [--rounds N]``."""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from report import machine

from interactive_dl import Cluster
from interactive_dl.telemetry import events
from interactive_dl.telemetry.run import Run

FOLDER = Path(__file__).resolve().parent
DOCS = FOLDER.parents[1] / "docs"
COMMAND = ".venv/bin/python tests/benchmarks/steering.py"
TIMEOUT_S = 120.0

SETUP = f"""
import sys

import keras
import numpy as np
from interactive_dl import data, engine
from interactive_dl.science.rpv import build_model

sys.path.insert(0, {str(FOLDER)!r})
from workload import BATCH, images_and_labels


def train(name, *callbacks, **options):
    group = engine.init(seed=0)
    parts = zip(*map(images_and_labels, range(group.size)))
    images, labels = map(np.concatenate, parts)
    batches = data.from_arrays(images, labels).shard(group).batch(BATCH)
    model = build_model()
    model.compile(engine.distribute(keras.optimizers.Adam(1e-3)), "binary_crossentropy")
    callbacks = [*callbacks, *engine.callbacks(name, **options)]
    model.fit(batches, epochs=10_000, verbose=0, callbacks=callbacks)
"""


def await_(is_so: Callable[[], Any], what: str) -> None:
    """Wait for a condition."""
    deadline_s = time.monotonic() + TIMEOUT_S
    while not is_so():
        if time.monotonic() > deadline_s:
            raise TimeoutError(f"not within {TIMEOUT_S:g} s: {what}")
        time.sleep(0.01)


@contextmanager
def engines(count: int, **options: Any) -> Iterator[Cluster]:
    """A cluster whose journals are not kept."""
    with (
        tempfile.TemporaryDirectory(prefix="idl-bench-") as runs,
        Cluster(count, runs=runs, **options) as cluster,
    ):
        yield cluster


def begin(cluster: Cluster, name: str, setup: str = "", callback: str = "", **options: Any) -> Run:
    """A training on all engines that is under way.

    Args:
        cluster: whose.
        name: of the run.
        setup: further code for the engines.
        callback: makes a further callback of the training; empty for none.
        options: of ``engine.callbacks``.
    """
    view = cluster.client[:]
    view.execute(SETUP + setup, block=True)
    view.execute(f"train({name!r}, *[{callback}], **{options!r})")
    await_(lambda: name in {run.name for run in cluster.runs.summaries()}, "the run begins")
    run = cluster.runs[name]
    await_(lambda: run.history.step > 10, "ten steps")
    return run


def commands(count: int) -> list[dict[str, float]]:
    """From the sending of a command to its being applied on all ranks: seconds, and steps that end
    meanwhile (1: it is applied after the step that was under way).
    """
    told: list[events.Record] = []
    measured = []
    with engines(2, threads_per_engine=1, binding="core") as cluster:
        run = begin(cluster, "commands")
        run.set(steps_per_report=1)
        run.subscribe(lambda _run, records: told.extend(records))
        for number in range(count):
            time.sleep(random.uniform(0.0, 0.3))
            sent_s = time.time()
            answer = run.set(learning_rate=1e-3 * (1 + number % 2))
            applied = next(one for one in reversed(told) if _answers(one, answer.id))
            await_(lambda step=answer.step: run.history.step > step, "the next step")
            ends = [one.time_s for one in told if isinstance(one.event, events.Progress)]
            steps = sum(sent_s < end_s <= applied.time_s for end_s in ends)
            measured.append({"s": applied.time_s - sent_s, "steps": steps})
        run.stop()
    return measured


def _answers(record: events.Record, command: str) -> bool:
    return isinstance(record.event, events.CommandApplied) and record.event.id == command


def losses(rounds: int) -> list[dict[str, float]]:
    """Seconds from a rank's death until it is named, the others train on, and (from the asking)
    until a new engine has joined; and, where the run restarts, until all train on.
    """
    measured = []
    with engines(3) as cluster:
        for number in range(rounds):
            run, told, killed_s = _kill(cluster, f"shrink-{number}")
            figures = {
                "named": _first(told, events.RankLost) - killed_s,
                "on again": _first(told, events.GroupChanged) - killed_s,
            }
            asked_s = time.time()
            run.grow(timeout_s=TIMEOUT_S)
            figures["grown"] = time.time() - asked_s
            _end(cluster, run)
            with tempfile.TemporaryDirectory() as folder:
                options = {"checkpoint": f"{folder}/run.keras", "on_rank_loss": "restart"}
                run, told, killed_s = _kill(cluster, f"restart-{number}", **options)
                figures["restarted"] = _first(told, events.GroupChanged) - killed_s
                _end(cluster, run)
            measured.append(figures)
            print(f"round {number + 1}: {figures}", flush=True)
    return measured


def _kill(cluster: Cluster, name: str, **options: Any) -> tuple[Run, list[events.Record], float]:
    """Kill a rank of a new training: the run, what it has told since, and when that was."""
    told: list[events.Record] = []
    run = begin(cluster, name, **options)
    run.subscribe(lambda _run, records: told.extend(records))
    os.kill(random.choice(cluster.engines).pid, signal.SIGKILL)
    return run, told, time.time()


def _first(told: list[events.Record], kind: type[events.Event]) -> float:
    """When the first event of a kind was told; waits for it."""
    await_(lambda: any(isinstance(one.event, kind) for one in told), kind.__name__)
    return next(one.time_s for one in told if isinstance(one.event, kind))


def _end(cluster: Cluster, run: Run) -> None:
    run.stop()
    run.wait(TIMEOUT_S)
    await_(lambda: len(cluster.client.ids) == 3, "three engines")
    await_(lambda: not cluster.client.outstanding, "the cell ends")


def table(told: list[dict[str, float]], lost: list[dict[str, float]]) -> str:
    """Markdown."""
    ms, steps = (np.array([one[key] for one in told]) for key in ("s", "steps"))
    p50, p99 = 1e3 * np.percentile(ms, (50, 99))
    lines = [
        "| | measured | goal |",
        "|---|---|---|",
        f"| command → applied on all ranks, p50 / p99 of {len(told)} | {p50:.0f} / {p99:.0f} ms"
        " | |",
        f"| steps that end meanwhile, p50 / p99 / most | {np.percentile(steps, 50):.0f} /"
        f" {np.percentile(steps, 99):.0f} / {steps.max():.0f} | 1 |",
    ]
    names = {
        "named": ("kill -9 → the rank is named", "< 5 s"),
        "on again": ("kill -9 → the others train on", "≤ 5 s"),
        "grown": ("`run.grow()` → a new engine has done a step with the others", ""),
        "restarted": ("kill -9 → all train on from the checkpoint (`restart`)", ""),
    }
    for key, (name, goal) in names.items():
        values = [one[key] for one in lost]
        text = f"{np.median(values):.2f} / {max(values):.2f} s"
        lines.append(f"| {name}, median / most of {len(values)} | {text} | {goal} |")
    return "\n".join(lines)


def main() -> None:
    """Measure, print, and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--commands", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=6)
    options = parser.parse_args()
    told, lost = commands(options.commands), losses(options.rounds)
    text = table(told, lost)
    print(f"\n{text}")
    today = date.today().isoformat()
    record = {"date": today, "machine": machine(), "commands": told, "losses": lost}
    (DOCS / "steering_benchmarks.json").write_text(json.dumps(record, indent=1) + "\n")
    (DOCS / "steering_benchmarks.md").write_text(
        f"# How fast people are heard, and the dead replaced\n\nWritten by `{COMMAND}` on {today}"
        f" ({machine()}). The RPV network (64x64 images, batch 128 per rank); commands on 2 engines"
        f" with a pinned core each, losses on 3 engines that share them.\n\n{text}\n"
    )


if __name__ == "__main__":
    main()
