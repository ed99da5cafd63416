"""How long a cluster at a centre takes to start, regroup, be cancelled, and tell that it failed.

    python -m deploy.virtual --nodes 4 python tests/benchmarks/centre.py [--count N]

One engine on each of four virtual nodes, under a real Slurm.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import tempfile
import time
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from statistics import median
from typing import Any

import ipyparallel
from report import machine

import interactive_dl as idl
from interactive_dl.cluster import Cluster
from interactive_dl.errors import AllocationError

DOCS = Path(__file__).resolve().parents[2] / "docs"
COMMAND = ".venv/bin/python -m deploy.virtual --nodes 4 .venv/bin/python tests/benchmarks/centre.py"
NODES = 4
TIMEOUT_S = 120.0
TO_REACH_S = {
    "nodes granted → first cell's result, 4 nodes": 10.0,
    "regrouped over 2 nodes, by a cell": 1.0,
    "regrouped over all 4 nodes, by a cell": 1.0,
    "pending job → cancelled and stopped": 2.0,
    "Slurm knows that a job failed → the state says so": 3.0,
}
START, PAIRS, ALL, CANCEL, FAIL = TO_REACH_S
SHAPES = (
    (PAIRS, ([0, 1], [2, 3])),
    (PAIRS, ([0, 2], [1, 3])),
    (ALL, ([0, 1, 2, 3],)),
)


def cluster(**request: Any) -> Cluster:
    """A cluster that is not started yet."""
    return idl.Cluster("slurm", **{"nodes": NODES, "walltime_min": 10, **request})


def started(folder: Path) -> tuple[Cluster, float]:
    """A cluster, and seconds from the first line that its job ran to the first cell's result."""
    granted = folder / "granted"
    one = cluster(setup=[f"date +%s.%N > {granted}"]).start()
    one.client[:].execute("ready = 1", block=True)
    return one, time.time() - float(granted.read_text())


@ipyparallel.interactive
def form() -> float:
    """Form a group of the cell's targets, and sum over it."""
    from interactive_dl import engine

    return float(engine.init(seed=1).comm.allreduce(1))


def regrouped(one: Cluster, groups: Sequence[Sequence[int]]) -> float:
    """Seconds until all groups are formed and have summed, cells and their results included."""
    began_s = time.perf_counter()
    sent = [one.client.direct_view(list(members)).apply_async(form) for members in groups]
    for members, result in zip(groups, sent, strict=True):
        assert result.get(timeout=TIMEOUT_S) == [len(members)] * len(members)
    return time.perf_counter() - began_s


async def cancelled() -> float:
    """Seconds that ``stop()`` takes while a job waits for nodes."""
    one = cluster()
    starting = asyncio.create_task(one.start_async())
    while one.state.name != "pending":
        await asyncio.sleep(0.05)
    began_s = time.perf_counter()
    await one.stop_async()
    took_s = time.perf_counter() - began_s
    starting.cancel()
    await asyncio.gather(starting, return_exceptions=True)
    return took_s


def failed() -> float:
    """Seconds from Slurm's first knowing of a failure to ours; looked at every 20 ms."""

    async def fail() -> float:
        one = cluster(nodes=1, setup=["sleep 1; exit 7"])
        starting = asyncio.create_task(one.start_async())
        known_s = 0.0
        while not starting.done():
            if not known_s and "FAILED" in await asyncio.to_thread(states, one.id):
                known_s = time.perf_counter()
            await asyncio.sleep(0.02)
        told_s = time.perf_counter()
        error = starting.exception()
        assert isinstance(error, AllocationError), error
        await one.stop_async()
        return told_s - (known_s or told_s)

    return asyncio.run(fail())


def states(name: str) -> str:
    """Slurm's words for the jobs of this name."""
    words = ["squeue", "--noheader", "--states=all", "--format=%T", "--name", name]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout


def measure(count: int, folder: Path) -> dict[str, list[float]]:
    """All figures, ``count`` times."""
    seconds: dict[str, list[float]] = {name: [] for name in TO_REACH_S}
    for _ in range(count):
        one, start_s = started(folder)
        seconds[START].append(start_s)
        regrouped(one, SHAPES[-1][1])  # imports what a group needs
        for name, groups in SHAPES:
            seconds[name].append(regrouped(one, groups))
        seconds[CANCEL].append(asyncio.run(cancelled()))
        one.stop()
        seconds[FAIL].append(failed())
        print({name: round(values[-1], 2) for name, values in seconds.items()}, flush=True)
    return seconds


def table(seconds: dict[str, list[float]]) -> str:
    """Markdown."""
    rows = [
        f"| {name} | {median(values):.2f} s | {min(values):.2f} – {max(values):.2f} s |"
        f" ≤ {TO_REACH_S[name]:g} s |"
        for name, values in seconds.items()
    ]
    return "\n".join(["| | median | range | to reach |", "|---|---|---|---|", *rows])


def main() -> None:
    """Measure, and write ``docs/centre_benchmarks.md``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=5)
    count = parser.parse_args().count
    with tempfile.TemporaryDirectory(prefix="idl-bench-") as folder:
        os.environ["IPYTHONDIR"] = folder
        seconds = measure(count, Path(folder))
    text = (
        f"# Clusters at a centre\n\nWritten by `{COMMAND}` on {date.today()} ({machine()}):"
        f" {count} rounds. Four virtual hosts of one machine, each with a network, processes and"
        " shared memory of its own, under a real Slurm, one engine on each; they share the"
        " machine's cores and disk. The job notes itself when it begins. Regrouping is measured"
        " from sending the cells to the last result, with a sum over each new group.\n\n"
        f"{table(seconds)}\n"
    )
    (DOCS / "centre_benchmarks.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
