"""What many ranks cost controller, recorder and notebook: ``scale.py [--counts 64 256 1024]``.

The engines are simulated (``simulated_engines``): real sockets and messages, no framework, some
hundreds to a process. Controller, recorder and client are the real ones.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from statistics import median

import numpy as np
import psutil
from report import machine

import interactive_dl as idl
from interactive_dl.cluster import _processes
from interactive_dl.telemetry import events, journal, spread
from interactive_dl.telemetry.history import History

FOLDER = Path(__file__).resolve().parent
DOCS = FOLDER.parents[1] / "docs"
COMMAND = ".venv/bin/python tests/benchmarks/scale.py"
COUNTS = (64, 256, 512, 1024, 2048)
RANKS = (4, 64, 128, 256, 1024, 10_000)
PER_PROCESS = 128
FIRST_ID = 10
QUIET_S = 20.0
TIMEOUT_S = 60.0
IDLE_S = 10.0
REPEATS = 5
REPORTS = 500


@dataclass(frozen=True)
class Cost:
    """Of one number of engines.

    Attributes:
        engines: how many.
        registered_s: until all are known, from their processes' start.
        attach_s: a new client's connecting.
        cell_s: ``client[:].apply_sync`` of nothing on all of them.
        cell_controller_s, cell_client_s: seconds of a core that it takes the controller's
            processes and the client's.
        task_s: as many tasks through the load-balanced view.
        idle: share of a core that the controller's processes take when nothing happens.
        controller_mib, client_mib: resident memory.
        missing: engines that were given up, at the end.
    """

    engines: int
    registered_s: float
    attach_s: float
    cell_s: float
    cell_controller_s: float
    cell_client_s: float
    task_s: float
    idle: float
    controller_mib: float
    client_mib: float
    missing: int


@contextmanager
def simulated(file: Path, count: int) -> Iterator[None]:
    """That many engines."""
    script = str(FOLDER / "simulated_engines.py")
    players = []
    try:
        for first in range(0, count, PER_PROCESS):
            words = [sys.executable, script, str(file), str(FIRST_ID + first)]
            players.append(
                subprocess.Popen(
                    [*words, str(min(PER_PROCESS, count - first))],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                )
            )
        for one in players:
            assert one.stdout is not None
            assert one.stdout.readline() == b"registered\n"
        yield
    finally:
        for one in players:
            one.kill()
            one.wait()


def controllers(cluster: idl.Cluster) -> list[psutil.Process]:
    """The controller's processes."""
    marked = _processes.marked(cluster.folder)
    return [one for one in marked if _processes.has(one, "interactive_dl.cluster.controller")]


def used_s(processes: list[psutil.Process]) -> float:
    """Seconds of a core that they have taken so far."""
    times = [one.cpu_times() for one in processes]
    return sum(one.user + one.system for one in times)


def mib(*processes: psutil.Process) -> float:
    """Their resident memory."""
    return sum(one.memory_info().rss for one in processes) / 2**20


def cost(count: int) -> Cost:
    """Measure one number of engines, on a fresh cluster with one real engine besides."""
    with idl.Cluster(1, environment={"IPP_ENABLE_CURVE": "1"}) as cluster:
        file = cluster.folder.parents[1] / "profile_default" / "security"
        began_s = time.perf_counter()
        with simulated(file / f"ipcontroller-{cluster.id}-engine.json", count):
            registered_s = known(cluster, count + 1) - began_s
            began_s = time.perf_counter()
            other = idl.Cluster.attach(cluster.id)
            attach_s = time.perf_counter() - began_s
            other.close()
            ids = [one for one in cluster.client.ids if one >= FIRST_ID]
            every = cluster.client.direct_view(ids)
            parts, me = controllers(cluster), [psutil.Process()]
            before_s, mine_s = used_s(parts), used_s(me)
            cells = [
                _timed(lambda: every.apply_async(int).get(timeout=TIMEOUT_S))
                for _ in range(REPEATS)
            ]
            cell_controller_s = (used_s(parts) - before_s) / REPEATS
            cell_client_s = (used_s(me) - mine_s) / REPEATS
            balanced = cluster.client.load_balanced_view(ids)
            tasks = [
                _timed(lambda: balanced.map_async(int, ids).get(timeout=TIMEOUT_S))
                for _ in range(REPEATS)
            ]
            before_s = used_s(parts)
            time.sleep(IDLE_S)
            return Cost(
                engines=count,
                registered_s=registered_s,
                attach_s=attach_s,
                cell_s=median(cells),
                cell_controller_s=cell_controller_s,
                cell_client_s=cell_client_s,
                task_s=median(tasks),
                idle=(used_s(parts) - before_s) / IDLE_S,
                controller_mib=mib(*parts),
                client_mib=mib(*me),
                missing=count + 1 - len(cluster.client.ids),
            )


def known(cluster: idl.Cluster, count: int) -> float:
    """When the last engine became known; some may have been given up meanwhile."""
    seen, changed_s = 0, time.perf_counter()
    while seen < count and time.perf_counter() - changed_s < QUIET_S:
        now = len(cluster.client.ids)
        if now > seen:
            seen, changed_s = now, time.perf_counter()
        time.sleep(0.02)
    return changed_s


def _timed(act: Callable[[], object]) -> float:
    began_s = time.perf_counter()
    act()
    return time.perf_counter() - began_s


def report_cost(ranks: int) -> tuple[int, float, float]:
    """A report of a group of so many: its bytes, and milliseconds to make and to take in."""
    random = np.random.default_rng(0)
    times = {name: random.gamma(9.0, 0.01, ranks) for name in spread.PHASES}
    run = "scale-20260101-000000-aaaa"
    started = events.Started("scale", tuple(range(ranks)), ("host",) * ranks, 1)
    lines = [events.encode(events.Record(run, 0, 0, 0.0, started))]
    began_s = time.perf_counter()
    for seq in range(1, REPORTS + 1):
        told = events.Progress(seq, 0, seq, {"loss": 0.5}, 1e-3, **spread.time_fields(times))
        lines.append(events.encode(events.Record(run, 0, seq, float(seq), told)))
    made_s = time.perf_counter() - began_s
    history = History()
    data = b"".join(line + b"\n" for line in lines)
    began_s = time.perf_counter()
    for record in journal.sketches(journal.Chunk(1, data, len(data) + 1), run):
        history.add(record)
    taken_s = time.perf_counter() - began_s
    return len(lines[-1]), 1e3 * made_s / REPORTS, 1e3 * taken_s / REPORTS


def tables(costs: list[Cost], reports: dict[int, tuple[int, float, float]]) -> str:
    """Markdown."""
    engines = [
        f"| {one.engines} | {one.registered_s:.1f} s | {one.attach_s:.2f} s | {one.cell_s:.2f} s |"
        f" {one.cell_controller_s:.2f} / {one.cell_client_s:.2f} s | {one.task_s:.2f} s |"
        f" {100 * one.idle:.0f} % | {one.controller_mib:.0f} |"
        f" {one.client_mib:.0f} | {one.missing} |"
        for one in costs
    ]
    ranks = [
        f"| {count} | {size} | {made_ms:.2f} ms | {taken_ms:.2f} ms |"
        for count, (size, made_ms, taken_ms) in reports.items()
    ]
    return "\n".join(
        [
            "| engines | all registered | another client attaches | a cell on all |"
            " a core's time in it: controller / client | as many tasks |"
            " controller idle, of a core | controller, MiB | client, MiB | given up |",
            "|---|---|---|---|---|---|---|---|---|---|",
            *engines,
            "",
            "| ranks of a run | bytes of a report | to make it | to take it in |",
            "|---|---|---|---|",
            *ranks,
        ]
    )


def main() -> None:
    """Measure, and write ``docs/scale_benchmarks.md``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--counts", type=int, nargs="+", default=COUNTS)
    counts = parser.parse_args().counts
    with tempfile.TemporaryDirectory(prefix="idl-bench-") as folder:
        os.environ["IPYTHONDIR"] = folder
        costs = []
        for count in counts:
            costs.append(cost(count))
            print(costs[-1], flush=True)
    text = (
        f"# Many ranks\n\nWritten by `{COMMAND}` on {date.today()} ({machine()}). Simulated engines"
        f" (`tests/benchmarks/simulated_engines.py`, {PER_PROCESS} to a process) with all sockets"
        " of real ones, on the same cores as controller and client: these share them, so that"
        " a controller with cores of its own does better. Medians of"
        f" {REPEATS}.\n\n{tables(costs, {count: report_cost(count) for count in RANKS})}\n"
    )
    (DOCS / "scale_benchmarks.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
