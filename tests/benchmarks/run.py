"""``make bench``: samples/s of the RPV network, ours against raw Horovod and raw PyTorch DDP.

All contestants run in turn, several times over, one thread and one pinned core per rank; ratios are
taken within a round, so that a machine that is slow for a while slows all of them.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable
from datetime import date
from functools import partial
from pathlib import Path
from statistics import median

from ours import samples_per_s

from interactive_dl.cluster.environment import ALLOCATOR, mpi_environment, mpiexec_arguments

FOLDER = Path(__file__).resolve().parent
DOCS = FOLDER.parents[1] / "docs"
COMMAND = "make bench"
TIMEOUT_S = 300

Round = dict[str, float]


def script(name: str, ranks: int) -> float:
    """Samples/s that a script reports under ``mpiexec``."""
    start = mpiexec_arguments(ranks, bind=True, threads=1, fault_tolerant=False)
    return _rate(name, _started(name, ranks, start))


def apart(name: str, ranks: int) -> float:
    """Samples/s, added up, of ``ranks`` copies of a script that do not communicate, a core each.

    What the cores give when all of them work at once (they share caches, memory and clock): no
    training of ``ranks`` processes can be faster.
    """
    start = mpiexec_arguments(1, fault_tolerant=False)
    cores = sorted(os.sched_getaffinity(0))[:ranks]
    copies = [_started(name, 1, ("taskset", "-c", str(core), *start)) for core in cores]
    return sum(_rate(name, copy) for copy in copies)


def _started(name: str, ranks: int, start: tuple[str, ...]) -> subprocess.Popen[str]:
    ours = mpi_environment(ranks, threads=1)
    environment = os.environ | {name: ours[name] for name in ours if name not in ALLOCATOR}
    environment |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29517", "GLOO_SOCKET_IFNAME": "lo"}
    return subprocess.Popen(
        [*start, sys.executable, str(FOLDER / f"{name}.py")],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _rate(name: str, started: subprocess.Popen[str]) -> float:
    out, err = started.communicate(timeout=TIMEOUT_S)
    rates = [line.split()[1] for line in out.splitlines() if "samples_per_s" in line]
    if started.returncode or not rates:
        raise RuntimeError(f"{name} failed:\n{out}{err}")
    return float(rates[0])


CONTESTANTS: dict[str, Callable[[int], float]] = {
    "ours": partial(samples_per_s, folder=str(FOLDER)),
    "bare Horovod": partial(script, "bare_horovod"),
    "PyTorch DDP": partial(script, "torch_ddp"),
    "bare, without communication": partial(apart, "bare_horovod"),
}
RANKS = (1, 2)
RATIOS: dict[str, tuple[Callable[[Round], float], float | None]] = {
    "ours / bare Horovod, 1 rank": (lambda r: r["ours 1"] / r["bare Horovod 1"], 0.98),
    "ours / bare Horovod, 2 ranks": (lambda r: r["ours 2"] / r["bare Horovod 2"], 0.98),
    "ours / PyTorch DDP, 1 rank": (lambda r: r["ours 1"] / r["PyTorch DDP 1"], 1.4),
    "ours / PyTorch DDP, 2 ranks": (lambda r: r["ours 2"] / r["PyTorch DDP 2"], 1.4),
    "ours: weak-scaling efficiency, 2 ranks": (lambda r: r["ours 2"] / (2 * r["ours 1"]), 0.92),
    "the same without communication": (
        lambda r: r["bare, without communication 2"] / (2 * r["bare, without communication 1"]),
        None,
    ),
}


def measure(rounds: int) -> list[Round]:
    """Samples/s of each contestant on each number of ranks, round by round."""
    measured = []
    for number in range(rounds):
        rates: Round = {}
        for ranks in RANKS:
            for name, contestant in CONTESTANTS.items():
                rates[f"{name} {ranks}"] = contestant(ranks)
                print(f"round {number + 1}: {name}, {ranks} ranks:", end=" ")
                print(f"{rates[f'{name} {ranks}']:.0f} samples/s", flush=True)
        measured.append(rates)
    return measured


def table(rounds: list[Round]) -> str:
    """Medians and ranges, in Markdown."""
    lines = ["| contestant | ranks | samples/s, median | range |", "|---|---|---|---|"]
    for name in CONTESTANTS:
        for ranks in RANKS:
            rates = [rates[f"{name} {ranks}"] for rates in rounds]
            span = f"{min(rates):.0f} – {max(rates):.0f}"
            lines.append(f"| {name} | {ranks} | {median(rates):.0f} | {span} |")
    lines += ["", "| ratio within a round | median | range | to reach |", "|---|---|---|---|"]
    for name, (ratio, bar) in RATIOS.items():
        values = [ratio(rates) for rates in rounds]
        span = f"{min(values):.2f} – {max(values):.2f}"
        to_reach = "" if bar is None else f"≥ {bar}"
        lines.append(f"| {name} | {median(values):.2f} | {span} | {to_reach} |")
    return "\n".join(lines)


def main() -> None:
    """Measure, print the table, and keep both in ``docs/``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = measure(parser.parse_args().rounds)
    text = table(rounds)
    print(f"\n{text}")
    machine = f"{platform.machine()}, {len(os.sched_getaffinity(0))} cores"
    record = {"date": date.today().isoformat(), "machine": machine, "rounds": rounds}
    (DOCS / "benchmarks.json").write_text(json.dumps(record, indent=1) + "\n")
    (DOCS / "benchmarks.md").write_text(
        f"# Benchmarks\n\nWritten by `{COMMAND}` on {record['date']} ({machine},"
        f" {len(rounds)} rounds): the RPV network (547,841 parameters, 64x64 images), batch 128"
        f" per rank, one thread and one pinned core per rank. The other contestants get our"
        f" settings of MPI and of threads too, but not the one of the memory allocator.\n\n{text}\n"
    )


if __name__ == "__main__":
    main()
