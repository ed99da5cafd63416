"""Throughput over several nodes with MPI's collectives and with Gloo's, side by side.

    python -m deploy.virtual --nodes 2 python tests/benchmarks/collectives.py [--rounds N]

Two engines on two virtual hosts under Slurm train a network, with the one and the other in turns.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from datetime import date
from pathlib import Path
from statistics import median
from typing import Any

from report import machine, median_and_interval

import interactive_dl as idl

DOCS = Path(__file__).resolve().parents[2] / "docs"
COMMAND = "make bench-centre"
KINDS = ("mpi", "gloo")
TIMEOUT_S = 120.0

TURN = """
import time

import keras
import numpy as np

from interactive_dl import engine

group = engine.init(seed=1)
if "model" not in globals():
    layers = keras.layers
    model = keras.Sequential([keras.Input((64, 64, 1))])
    for filters in (8, 16, 32):
        model.add(layers.Conv2D(filters, 3, padding="same", activation="relu"))
        model.add(layers.MaxPooling2D())
    for layer in (layers.Flatten(), layers.Dense(128), layers.Dense(1, activation="sigmoid")):
        model.add(layer)
    model.compile(engine.distribute(keras.optimizers.Adam()), "binary_crossentropy")
    images = np.random.default_rng(group.rank).normal(size=(1024, 64, 64, 1)).astype("float32")
    labels = (images.mean(axis=(1, 2, 3)) > 0).astype("float32")
    model.fit(images[:128], labels[:128], batch_size=64, verbose=0)
group.allgather(None)
began_s = time.perf_counter()
model.fit(images, labels, batch_size=64, verbose=0)
group.allgather(None)
rate = group.size * len(images) / (time.perf_counter() - began_s)
"""


def rates(folder: Path, rounds: int) -> list[dict[str, float]]:
    """Samples/s of all ranks, by the kind of collectives, for each round; the first is not kept."""
    request: dict[str, Any] = {
        "nodes": 2,
        "walltime_min": 15,
        "interface": "eth0",
        "runs": folder / "runs",
    }
    with (
        idl.Cluster("slurm", collectives="mpi", **request) as mpi,
        idl.Cluster("slurm", collectives="gloo", **request) as gloo,
    ):
        clusters = dict(zip(KINDS, (mpi, gloo), strict=True))
        return [{kind: turn(one) for kind, one in clusters.items()} for _ in range(rounds + 1)][1:]


def turn(cluster: idl.Cluster) -> float:
    """Train for a while; samples/s."""
    view = cluster.client[:]
    view.execute(TURN).get(timeout=TIMEOUT_S)
    return float(view["rate"][0])


def table(rounds: list[dict[str, float]]) -> str:
    """Markdown."""
    lines = ["| | samples/s, median | range | a round's ratio to MPI, median | 95 % |"]
    lines.append("|---|---|---|---|---|")
    for kind in KINDS:
        found = [one[kind] for one in rounds]
        spread = f"{median(found):.0f} | {min(found):.0f} – {max(found):.0f}"
        ratio = median_and_interval([one[kind] / one["mpi"] for one in rounds])
        lines.append(f"| `{kind}` | {spread} | {ratio if kind != 'mpi' else '1 |'} |")
    return "\n".join(lines)


def main() -> None:
    """Measure, and write ``docs/collectives_benchmarks.md``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="idl-bench-") as scratch:
        os.environ["IPYTHONDIR"] = str(Path(scratch) / "ipython")
        rounds = rates(Path(scratch), chosen.rounds)
    today = date.today().isoformat()
    record = {"date": today, "machine": machine(), "rounds": rounds}
    (DOCS / "collectives_benchmarks.json").write_text(json.dumps(record, indent=1) + "\n")
    text = (
        f"# Collectives by MPI and by Gloo\n\nWritten by `{COMMAND}` on {today} ({machine()}, which"
        " the virtual hosts share). Two engines on two nodes under Slurm train a small"
        " convolutional network (64x64 images, batches of 64 on each rank) on a link of their own"
        f" over TCP, {len(rounds)} rounds in turns.\n\n{table(rounds)}\n"
    )
    (DOCS / "collectives_benchmarks.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
