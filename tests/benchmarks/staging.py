"""Staging from a throttled disk, and readers beside the training.

    python -m deploy.virtual --nodes 4 python tests/benchmarks/staging.py [--rounds N]

The disk is one for all hosts: whatever their engines read of it waits its turn at one rate, so that
a set that is read four times takes four times as long. Each host's own storage is its ``/mnt``.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from datetime import date
from pathlib import Path
from statistics import median
from typing import Any

import h5py
import numpy as np
from report import machine, median_and_interval

import interactive_dl as idl
from interactive_dl import data

DOCS = Path(__file__).resolve().parents[2] / "docs"
COMMAND = "make bench-centre"
NODES = 4
DISK_MB_S = 64
FILES, FILE_MB = 8, 8
TIMEOUT_S = 120.0

FRAMES, SIDE, CHANNELS = 256, 96, 16
BATCH, STEP_S = 4, 0.005
READERS = (0, 1, 2, 4)

ENGINE = """
import fcntl
import shutil
import struct
import time
from pathlib import Path

from interactive_dl import data, engine
from interactive_dl.data import staging

read = staging.fill


def throttled(path, file, offset, content):
    # Read when the disk has got through all that was asked of it before.
    if path.is_relative_to(SHARED):
        with open(QUEUE, "r+b") as queue:
            fcntl.flock(queue, fcntl.LOCK_EX)
            free_s, total = struct.unpack("dq", queue.read())
            free_s = max(free_s, time.monotonic()) + len(content) / (RATE * 1e6)
            queue.seek(0)
            queue.write(struct.pack("dq", free_s, total + len(content)))
        time.sleep(max(0.0, free_s - time.monotonic()))
    read(path, file, offset, content)


def copied():
    return data.stage(SHARED, folder=OWN, block_mib=1)


def staged():
    return data.stage(SHARED, engine.current(), folder=OWN, block_mib=1)


def take_turn(copy):
    shutil.rmtree(OWN, ignore_errors=True)
    Path(OWN).mkdir()
    group.allgather(None)
    began_s = time.perf_counter()
    found = copy()
    group.allgather(None)
    return time.perf_counter() - began_s, found.read_bytes


staging.fill = throttled
group = engine.init(seed=0)
"""
KINDS = {"each node for itself": "copied", "staged": "staged"}


def stage(folder: Path, rounds: int) -> list[dict[str, dict[str, float]]]:
    """Seconds, and bytes read of the disk, of each kind in each round; the first is not kept."""
    shared = folder / "shared"
    shared.mkdir()
    for number in range(FILES):
        (shared / f"{number}.bin").write_bytes(os.urandom(FILE_MB * 10**6))
    (folder / "queue").write_bytes(bytes(16))
    names = {
        "SHARED": str(shared),
        "QUEUE": str(folder / "queue"),
        "OWN": "/mnt/own",
        "RATE": DISK_MB_S,
    }
    with idl.Cluster(
        "slurm", nodes=NODES, walltime_min=10, interface="eth0", runs=folder / "runs"
    ) as cluster:
        view = cluster.client[:]
        view.push(names, block=True)
        view.execute(ENGINE).get(timeout=TIMEOUT_S)
        found = []
        for _ in range(rounds + 1):
            found.append({kind: turn(view, name) for kind, name in KINDS.items()})
            print(found[-1], flush=True)
    return found[1:]


def turn(view: Any, name: str) -> dict[str, float]:
    """One kind, on all nodes at once."""
    view.execute(f"took_s, read_bytes = take_turn({name})").get(timeout=TIMEOUT_S)
    return {"took_s": max(view["took_s"]), "read_bytes": sum(view["read_bytes"])}


def read(folder: Path, rounds: int) -> list[dict[str, float]]:
    """Steps/s of a pass by the number of readers, for each round."""
    path = folder / "frames.h5"
    rng = np.random.default_rng(0)
    with h5py.File(path, "w") as file:
        shape = (FRAMES, SIDE, SIDE, CHANNELS)
        frames = rng.integers(0, 50, shape).astype(np.float32)
        file.create_dataset("x", data=frames, chunks=(1, *shape[1:]), compression="gzip")
        file["y"] = np.arange(FRAMES)
    shard = data.open(path).shard()
    passes = {count: shard.batch(BATCH, readers=count) for count in READERS}
    found = []
    for _ in range(rounds + 1):
        found.append({str(count): steps_per_s(one) for count, one in passes.items()})
        print(found[-1], flush=True)
    return found[1:]


def steps_per_s(batches: data.Batches) -> float:
    """A pass whose steps take no processor, as if a GPU computed."""
    began_s = time.perf_counter()
    for _ in batches:
        time.sleep(STEP_S)
    return batches.steps / (time.perf_counter() - began_s)


def tables(staged: list[dict[str, dict[str, float]]], passes: list[dict[str, float]]) -> list[str]:
    """Markdown."""
    size = FILES * FILE_MB * 10**6
    first = ["| | s, median | 95 % interval | read of the disk | a round's ratio, median | 95 % |"]
    first.append("|---|---|---|---|---|---|")
    (naive, ours) = KINDS
    for kind in KINDS:
        seconds = median_and_interval([one[kind]["took_s"] for one in staged])
        times = median(one[kind]["read_bytes"] for one in staged) / size
        gain = [one[naive]["took_s"] / one[kind]["took_s"] for one in staged]
        ratio = median_and_interval(gain) if kind == ours else "1 |"
        first.append(f"| {kind} | {seconds} | {times:.2f} times the set | {ratio} |")
    second = [
        "| readers | steps/s, median | 95 % interval | a round's ratio to none, median | 95 % |"
    ]
    second.append("|---|---|---|---|---|")
    for count in map(str, READERS):
        rates = median_and_interval([one[count] for one in passes])
        ratio = median_and_interval([one[count] / one["0"] for one in passes])
        second.append(f"| {count} | {rates} | {ratio if count != '0' else '1 |'} |")
    return ["\n".join(first), "\n".join(second)]


def main() -> None:
    """Measure, and write ``docs/staging_benchmarks.md``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=6)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="idl-bench-") as scratch:
        os.environ["IPYTHONDIR"] = str(Path(scratch) / "ipython")
        passes = read(Path(scratch), chosen.rounds)
        staged = stage(Path(scratch), chosen.rounds)
    today = date.today().isoformat()
    copies, readers = tables(staged, passes)
    text = f"""# Staging and readers

Written by `{COMMAND}` on {today} ({machine()}, which the virtual hosts share), {len(staged)} rounds
in turns.

## Copied to the nodes

One engine on each of {NODES} nodes under Slurm; {FILES} files of {FILE_MB} MB on a disk that gives
{DISK_MB_S} MB/s to all of them together (what is read waits its turn, by a clock that all engines
share). Reading the set once takes {FILES * FILE_MB / DISK_MB_S:.2f} s.

{copies}

## Read by processes of their own

Frames of {SIDE}x{SIDE} pixels and {CHANNELS} channels in a compressed HDF5 file, batches of
{BATCH}, from the page cache, so that reading is decoding. A step takes {1000 * STEP_S:.0f} ms and
no processor, as with a GPU: {1 / STEP_S:.0f} steps/s at most.

{readers}
"""
    record = {"date": today, "machine": machine(), "staged": staged, "steps_per_s": passes}
    (DOCS / "staging_benchmarks.json").write_text(json.dumps(record, indent=1) + "\n")
    (DOCS / "staging_benchmarks.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
