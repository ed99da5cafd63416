"""How many threads the networks of the Stampede2 study want here: ``threads.py [SIZE ...]``.

What ``idl science threads convnets --size SIZE`` does for one network, for all of them, and as a
page: ``docs/threads_benchmarks.md``, from the JSON beside it, which keeps what was measured before.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import date
from pathlib import Path

from report import machine, median_and_interval

from interactive_dl import science
from interactive_dl.bench import threads
from interactive_dl.bench.threads import Timing

DOCS = Path(__file__).resolve().parents[2] / "docs"
COMMAND = ".venv/bin/python tests/benchmarks/threads.py"
CASE = "convnets"
BATCHES = {"laptop": 100, "alexnet": 16, "caffenet": 16, "googlenet": 8}
"""Samples per step: what a step of some seconds has room for."""
STEPS = 10


def measure(size: str) -> list[Timing]:
    """Each number of threads in turn."""
    parser = argparse.ArgumentParser()
    threads.add_arguments(parser)
    words = [f"--size={size}", f"--batch={BATCHES[size]}", f"--steps={STEPS}"]
    return threads.study(parser.parse_args([CASE, *words]))


def page(found: dict[str, list[Timing]], where: str) -> str:
    """Markdown."""
    sections = (line for size in BATCHES if size in found for line in _section(size, found[size]))
    return "\n".join([*_head(where), *sections, ""])


def _head(where: str) -> Iterable[str]:
    yield "# How many threads?"
    yield ""
    yield (
        "The Stampede2 study tried its networks with 32, 64 and 128 threads on nodes of 68 cores"
        " and 272 hardware threads: 64 were best. The same question, asked of this machine. Each"
        " number of threads has a process of its own, which computes the gradient of random images"
        f" {STEPS} times, after {threads.WARM_UP} times that do not count; operations are counted"
        " as in [science.md](science.md)."
    )
    yield ""
    yield (
        f"`{COMMAND}`, {where}. One network, any numbers of threads:"
        f" `idl science threads {CASE} --size alexnet --threads 1 2 4`."
    )


def _section(size: str, timings: Sequence[Timing]) -> Iterable[str]:
    network = science.case(CASE).config(size).network
    fastest = max(timings, key=lambda timing: timing.samples_per_s)
    yield ""
    yield f"## {network}, {timings[0].batch_size} images per step"
    yield ""
    yield "| threads | s per step, median | 95 % interval | images/s | GFLOP/s | to the first |"
    yield "|---|---|---|---|---|---|"
    for timing in timings:
        ratio = timing.samples_per_s / timings[0].samples_per_s
        star = " (fastest)" if timing is fastest else ""
        yield (
            f"| {timing.threads}{star} | {median_and_interval(timing.step_s)} |"
            f" {timing.samples_per_s:.1f} | {timing.gflop_per_s:.1f} | {ratio:.2f} x |"
        )


def _known(path: Path) -> dict[str, list[Timing]]:
    if not path.exists():
        return {}
    return {
        size: [Timing(**{**timing, "step_s": tuple(timing["step_s"])}) for timing in timings]
        for size, timings in json.loads(path.read_text()).items()
    }


def main() -> None:
    """Measure what was asked for, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sizes", nargs="*", metavar="SIZE", help=f"default: {' '.join(BATCHES)}")
    sizes = parser.parse_args().sizes or list(BATCHES)
    found = _known(DOCS / "threads_benchmarks.json")
    for size in sizes:
        found[size] = measure(size)
        print(f"{size}:\n{threads.table(found[size])}\n", flush=True)
        text = {name: [asdict(timing) for timing in timings] for name, timings in found.items()}
        (DOCS / "threads_benchmarks.json").write_text(json.dumps(text, indent=1) + "\n")
        where = f"{date.today()}, {machine()}, a load of {os.getloadavg()[1]:.0f} at the end"
        (DOCS / "threads_benchmarks.md").write_text(page(found, where))


if __name__ == "__main__":
    main()
