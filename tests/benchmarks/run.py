"""``make bench``: samples/s of the RPV network, ours against raw Horovod and raw PyTorch DDP.

All contestants are started once, one thread and one pinned core per rank, and then take turns of
some seconds, again and again, while the others stand still. Ratios are taken within a round, so
that a machine that is slow for a while, as shared ones are, slows all of them.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from datetime import date
from functools import partial
from pathlib import Path
from statistics import median
from typing import Protocol

import psutil
from ours import Ours
from report import machine, median_and_interval
from workload import TURN

from interactive_dl.cluster.environment import ALLOCATOR, mpi_environment, mpiexec_arguments

FOLDER = Path(__file__).resolve().parent
DOCS = FOLDER.parents[1] / "docs"
BUILD = FOLDER.parents[1] / "build" / "benchmarks"
COMMAND = "make bench"

Round = dict[str, float]


class Contestant(Protocol):
    """Somebody who trains when it is his turn."""

    def turn(self) -> float:
        """Samples/s, of all ranks together."""

    def end(self) -> None:
        """Leave nothing behind."""


class Script:
    """A script under ``mpiexec`` that trains whenever it is sent a line."""

    def __init__(self, name: str, ranks: int, core: int | None = None) -> None:
        free = core is not None
        start = mpiexec_arguments(ranks, bind=not free, threads=1, fault_tolerant=False)
        pinned = ("taskset", "-c", str(core)) if free else ()
        ours = mpi_environment(ranks, threads=1)
        environment = os.environ | {one: ours[one] for one in ours if one not in ALLOCATOR}
        environment |= {"MASTER_ADDR": "127.0.0.1", "GLOO_SOCKET_IFNAME": "lo"}
        environment |= {"MASTER_PORT": str(29_517 + ranks)}
        BUILD.mkdir(parents=True, exist_ok=True)
        self._log = BUILD / f"{name}-{ranks}-{core or 0}.log"
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                [*pinned, *start, sys.executable, str(FOLDER / f"{name}.py")],
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        self.hear()
        self._halt()

    def turn(self) -> float:
        self.call()
        return self.answer()

    def call(self) -> None:
        """Begin a turn."""
        self._go_on()
        assert self._process.stdin is not None
        self._process.stdin.write(TURN)
        self._process.stdin.flush()

    def hear(self) -> str:
        """What it says next: that it is ready, or how fast it was."""
        assert self._process.stdout is not None
        if line := self._process.stdout.readline():
            return line
        raise RuntimeError(f"{self._process.args} ended:\n{self._log.read_text()}")

    def answer(self) -> float:
        """End a turn: how fast it was."""
        rate = float(self.hear())
        self._halt()
        return rate

    def _halt(self) -> None:
        """The threads of a Horovod of several ranks are busy when they have nothing to do."""
        for rank in self._ranks():
            rank.suspend()

    def _go_on(self) -> None:
        for rank in self._ranks():
            rank.resume()

    def _ranks(self) -> list[psutil.Process]:
        return psutil.Process(self._process.pid).children(recursive=True)

    def end(self) -> None:
        self._go_on()
        self._process.communicate("end\n")


class Apart:
    """Copies of a script that do not communicate, a core each.

    What the cores give when all of them work at once (they share caches, memory and clock): no
    training of as many processes can be faster.
    """

    def __init__(self, name: str, copies: int) -> None:
        cores = sorted(os.sched_getaffinity(0))[:copies]
        self._copies = [Script(name, 1, core) for core in cores]

    def turn(self) -> float:
        for copy in self._copies:
            copy.call()
        return sum(copy.answer() for copy in self._copies)

    def end(self) -> None:
        for copy in self._copies:
            copy.end()


CONTESTANTS: dict[str, Callable[[], Contestant]] = {
    "ours, 1 rank": partial(Ours, 1, str(FOLDER)),
    "bare Horovod, 1 rank": partial(Script, "bare_horovod", 1),
    "ours, 2 ranks": partial(Ours, 2, str(FOLDER)),
    "bare Horovod, 2 ranks": partial(Script, "bare_horovod", 2),
    "bare, 2 processes that do not communicate": partial(Apart, "bare_horovod", 2),
    "PyTorch DDP, 1 rank": partial(Script, "torch_ddp", 1),
    "PyTorch DDP, 2 ranks": partial(Script, "torch_ddp", 2),
}
RATIOS: dict[str, tuple[str, str, float, float | None]] = {
    "ours / bare Horovod, 1 rank": ("ours, 1 rank", "bare Horovod, 1 rank", 1, 0.98),
    "ours / bare Horovod, 2 ranks": ("ours, 2 ranks", "bare Horovod, 2 ranks", 1, 0.98),
    "ours / PyTorch DDP, 1 rank": ("ours, 1 rank", "PyTorch DDP, 1 rank", 1, 1.4),
    "ours / PyTorch DDP, 2 ranks": ("ours, 2 ranks", "PyTorch DDP, 2 ranks", 1, 1.4),
    "ours: weak-scaling efficiency, 2 ranks": ("ours, 2 ranks", "ours, 1 rank", 2, 0.92),
    "bare: the same": ("bare Horovod, 2 ranks", "bare Horovod, 1 rank", 2, None),
    "bare: the same without communication": (
        "bare, 2 processes that do not communicate",
        "bare Horovod, 1 rank",
        2,
        None,
    ),
}


def measure(count: int) -> list[Round]:
    """Samples/s of each contestant, round by round."""
    rounds: list[Round] = []
    with ExitStack() as stack:
        contestants: dict[str, Contestant] = {}
        for name, start in CONTESTANTS.items():
            print(f"starting: {name}", flush=True)
            contestants[name] = start()
            stack.callback(contestants[name].end)
        for number in range(count):
            rounds.append({name: one.turn() for name, one in contestants.items()})
            print(f"round {number + 1}:", {n: round(r) for n, r in rounds[-1].items()}, flush=True)
    return rounds


def table(rounds: list[Round]) -> str:
    """Medians, with ranges and 95 % intervals, in Markdown."""
    lines = ["| contestant | samples/s, median | range |", "|---|---|---|"]
    for name in CONTESTANTS:
        rates = [rates[name] for rates in rounds]
        lines.append(f"| {name} | {median(rates):.0f} | {min(rates):.0f} – {max(rates):.0f} |")
    lines += [
        "",
        "| ratio within a round | median | 95 % interval of the median | to reach |",
        "|---|---|---|---|",
    ]
    for name, (above, below, times, bar) in RATIOS.items():
        values = [rates[above] / (times * rates[below]) for rates in rounds]
        to_reach = "" if bar is None else f"≥ {bar}"
        lines.append(f"| {name} | {median_and_interval(values)} | {to_reach} |")
    return "\n".join(lines)


def main() -> None:
    """Measure, print the table, and keep both in ``docs/``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=12)
    rounds = measure(parser.parse_args().rounds)
    text = table(rounds)
    print(f"\n{text}")
    record = {"date": date.today().isoformat(), "machine": machine(), "rounds": rounds}
    (DOCS / "benchmarks.json").write_text(json.dumps(record, indent=1) + "\n")
    (DOCS / "benchmarks.md").write_text(
        f"# Benchmarks\n\nWritten by `{COMMAND}` on {record['date']} ({machine()},"
        f" {len(rounds)} rounds): the RPV network (547,841 parameters, 64x64 images), batch 128"
        f" per rank, one thread and one pinned core per rank. The other contestants get our"
        f" settings of MPI and of threads too, but not the one of the memory allocator.\n\n{text}\n"
    )


if __name__ == "__main__":
    main()
