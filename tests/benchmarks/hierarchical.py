"""Allreduce in two levels, within nodes and among their leaders, beside the flat one.

    python -m deploy.virtual --nodes 2 python tests/benchmarks/hierarchical.py [--rounds N]

Some engines on each of two virtual hosts under Slurm. Open MPI goes by levels where a world has
several nodes (its component ``han``); ``OMPI_MCA_coll=^han`` takes that away. The hosts' links are
given the rate of slower and slower networks.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from datetime import date
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from report import machine, median_and_interval  # noqa: E402

import interactive_dl as idl  # noqa: E402
from deploy.virtual import NETWORKS_VARIABLE  # noqa: E402
from deploy.virtual.hosts import INTERFACE  # noqa: E402

DOCS = ROOT / "docs"
COMMAND = "make bench-centre"
NODES = ("n1", "n2")
ENGINES_PER_NODE = 2
RATES_MBIT: tuple[int | None, ...] = (None, 1000, 200)
WEIGHTS = (10_000, 594_178, 6_000_000)
"""A small layer, HEP's network of the 15 PF paper, a large one: float32 each."""
TIMEOUT_S = 120.0

ALLREDUCE = """
import time
from pathlib import Path

import numpy as np
from mpi4py import MPI

from interactive_dl import engine


def sent_bytes():
    (line,) = (one for one in Path("/proc/net/dev").read_text().splitlines() if "eth0:" in one)
    return int(line.split(":")[1].split()[8])


def allreduce(weights, repeats):
    comm = engine.current().comm
    gradients = np.ones(weights, np.float32)
    comm.Allreduce(MPI.IN_PLACE, gradients)
    comm.Barrier()
    before, began_s = sent_bytes(), time.perf_counter()
    for _ in range(repeats):
        comm.Allreduce(MPI.IN_PLACE, gradients)
    comm.Barrier()
    return (time.perf_counter() - began_s) / repeats, (sent_bytes() - before) / repeats


engine.init(seed=0)
"""


class Turn(NamedTuple):
    """Of one allreduce: how long it took, and what the busiest node sent; in seconds and bytes."""

    took_s: float
    sent: float


def limit(rate_mbit: int | None) -> None:
    """Give the link of each node a rate, or take that away."""
    networks = json.loads(os.environ[NETWORKS_VARIABLE])
    for node in NODES:
        enter = ["nsenter", f"--net=/proc/self/fd/{networks[node]}", "tc", "qdisc"]
        words = ["dev", INTERFACE, "root"]
        pass_fds = [networks[node]]
        subprocess.run([*enter, "del", *words], check=False, capture_output=True, pass_fds=pass_fds)
        if rate_mbit is not None:
            shape = ["tbf", "rate", f"{rate_mbit}mbit", "burst", "256kb", "latency", "200ms"]
            subprocess.run([*enter, "add", *words, *shape], check=True, pass_fds=pass_fds)


def turn(cluster: idl.Cluster, weights: int) -> Turn:
    """Some of one size."""
    view = cluster.client[:]
    repeats = 20 if weights <= WEIGHTS[0] else 3
    view.execute(f"found = allreduce({weights}, {repeats})").get(timeout=TIMEOUT_S)
    took_s, sent = zip(*view["found"], strict=True)
    return Turn(max(took_s), max(sent))


def measure(folder: Path, rounds: int) -> dict[str, list[dict[str, Turn]]]:
    """By setting, a round's turns by kind."""
    request: dict[str, Any] = {
        "nodes": len(NODES),
        "engines_per_node": ENGINES_PER_NODE,
        "walltime_min": 15,
        "interface": INTERFACE,
        "runs": folder / "runs",
    }
    flat = {"OMPI_MCA_coll": "^han"}
    with (
        idl.Cluster("slurm", **request) as levels,
        idl.Cluster("slurm", environment=flat, **request) as one_level,
    ):
        clusters = {"flat": one_level, "by levels": levels}
        for one in clusters.values():
            one.client[:].execute(ALLREDUCE).get(timeout=TIMEOUT_S)
        found: dict[str, list[dict[str, Turn]]] = {}
        for rate in RATES_MBIT:
            limit(rate)
            for weights in WEIGHTS:
                turns = [{n: turn(c, weights) for n, c in clusters.items()} for _ in range(rounds)]
                setting = f"{f'{rate} Mbit/s' if rate else 'unlimited'} | {weights:,}"
                found[setting] = turns
                print(setting, turns[-1], flush=True)
        limit(None)
        return found


def table(found: dict[str, list[dict[str, Turn]]]) -> str:
    """Markdown."""
    lines = [
        "| link | weights | flat, median | by levels, median | flat / by levels | 95 % |"
        " a node sends, flat | by levels |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for setting, turns in found.items():
        flat, levels = ([one[kind] for one in turns] for kind in ("flat", "by levels"))
        ratios = [a.took_s / b.took_s for a, b in zip(flat, levels, strict=True)]
        times = (f"{1e3 * median(one.took_s for one in kind):.2f} ms" for kind in (flat, levels))
        sent = (f"{median(one.sent for one in kind) / 1e6:.2f} MB" for kind in (flat, levels))
        cells = " | ".join([*times, median_and_interval(ratios), *sent])
        lines.append(f"| {setting} | {cells} |")
    return "\n".join(lines)


def main() -> None:
    """Measure, and write ``docs/hierarchical_benchmarks.md``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="idl-bench-") as scratch:
        os.environ["IPYTHONDIR"] = str(Path(scratch) / "ipython")
        found = measure(Path(scratch), chosen.rounds)
    text = f"""# Allreduce by levels

Written by `{COMMAND}` on {date.today()} ({machine()}, which the virtual hosts share).
{ENGINES_PER_NODE} engines on each of two nodes under Slurm combine float32 weights by MPI, as
Horovod does; {chosen.rounds} rounds in turns, in which each node's link has the rate that the first
column says. Open MPI goes by levels where a world has several nodes: within each node first, then
among their leaders, and back. `environment={{"OMPI_MCA_coll": "^han"}}` makes it flat.

{table(found)}
"""
    (DOCS / "hierarchical_benchmarks.md").write_text(text)
    (DOCS / "hierarchical_benchmarks.json").write_text(json.dumps(found, indent=1) + "\n")
    print(text)


if __name__ == "__main__":
    main()
