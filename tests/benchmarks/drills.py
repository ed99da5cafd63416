"""Ranks and nodes that are lost during a training, on a virtual centre.

    python -m deploy.virtual --nodes 3 python tests/benchmarks/drills.py [--count N]

Three engines on three nodes train. A rank is killed, or a node is cut off the network, or a node is
drained and a rank killed: the training must go on from its last checkpoint, on what is left. Or the
node is cut off from which the job is looked after, or the job makes room for another: then somebody
types ``cluster.renew()`` as soon as the state says so, and the training must go on. With Gloo, the
other ranks go on as they are when a rank is killed or a node is cut off.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from statistics import median
from typing import Any, Literal, NamedTuple

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from report import machine  # noqa: E402

import interactive_dl as idl  # noqa: E402
from deploy.virtual import NETWORKS_VARIABLE  # noqa: E402
from deploy.virtual.hosts import set_link  # noqa: E402
from interactive_dl.telemetry.run import Run  # noqa: E402
from tests.deploy import drills  # noqa: E402
from tests.deploy.trainings import training  # noqa: E402

RECORD = ROOT / "docs" / "drill_benchmarks.json"
COMMAND = ".venv/bin/python -m deploy.virtual --nodes 3 .venv/bin/python tests/benchmarks/drills.py"
DRAINED = "a node is drained, then a rank is killed"
CUT_OFF = {
    "a node is cut off": "n2",
    "the first node is cut off, and somebody renews": "n1",
    "with Gloo, a node is cut off": "n2",
}
MAKES_ROOM = "the job makes room for another, and somebody renews"
WITH_GLOO = ("with Gloo, a rank is killed", "with Gloo, a node is cut off")
KINDS = (
    "a rank is killed",
    "a node is cut off",
    DRAINED,
    "the first node is cut off, and somebody renews",
    MAKES_ROOM,
    *WITH_GLOO,
)
TIMEOUT_S = 120.0
NODE = "n2"


class Drill(NamedTuple):
    """What came of one.

    Attributes:
        kind: of ``KINDS``.
        named_s: until the cluster's state named rank or node, or said that the job makes room; of a
            drain, until it named that.
        resumed_s: from the blow until the training had begun again on other engines; with Gloo,
            until the others were a group.
        trained_s: from the blow until it had trained an epoch more.
        engines: how many it went on with.
        epochs_lost: that it had trained, and had to train again.
        orphans: processes of engines on the node once it could be reached again.
        stopped_s: how long ``cluster.stop()`` took.
        on: the date, as ISO 8601 has it.
    """

    kind: str
    named_s: float
    resumed_s: float
    trained_s: float
    engines: int
    epochs_lost: int
    orphans: int
    stopped_s: float
    on: str


def link(node: str, state: Literal["up", "down"]) -> None:
    """Take a node off the network, or put it back."""
    set_link(json.loads(os.environ[NETWORKS_VARIABLE])[node], state)


def until(condition: Callable[[], Any], what: str) -> float:
    """Wait for it; seconds.

    Raises:
        TimeoutError: it does not come.
    """
    began_s = time.monotonic()
    while not condition():
        if time.monotonic() - began_s > TIMEOUT_S:
            raise TimeoutError(what)
        time.sleep(0.02)
    return time.monotonic() - began_s


@contextmanager
def trained(folder: Path, collectives: Literal["mpi", "gloo"]) -> Iterator[tuple[idl.Cluster, Run]]:
    """Three engines that train, and have written a checkpoint."""
    checkpoint = folder / "drill.keras"
    cluster = idl.Cluster(
        "slurm",
        nodes=3,
        walltime_min=10,
        qos="yielding",
        collectives=collectives,
        runs=folder / "runs",
    ).start()
    try:
        cell = training("drill", str(checkpoint), samples=480)
        cluster.client[:].execute(cell, block=False)
        until(checkpoint.exists, "a checkpoint")
        run = cluster.runs["drill"]
        until(lambda: run.history.epoch >= 2, "two epochs")
        yield cluster, run
    finally:
        cluster.stop()


def drill(kind: str) -> Drill:
    """Strike once."""
    with tempfile.TemporaryDirectory(prefix="idl-drill-") as folder:  # noqa: SIM117 - in turn
        with trained(Path(folder), "gloo" if kind in WITH_GLOO else "mpi") as (cluster, run):
            struck_s, named_s = strike(kind, cluster, run)
            renew(kind, cluster)
            begun = _goes_on if kind in WITH_GLOO else _begins_again
            begin = begun(cluster, run)
            resumed_s = time.monotonic() - struck_s
            until(lambda: begin.run.history.epoch > begin.epoch, f"{kind}: it trains")
            trained_s = time.monotonic() - struck_s
            mend(kind)
            left = orphans(cluster, CUT_OFF.get(kind, NODE))
            began_s = time.monotonic()
            cluster.stop()
            stopped_s = time.monotonic() - began_s
    return Drill(
        kind,
        named_s,
        resumed_s,
        trained_s,
        begin.engines,
        begin.epochs_lost,
        left,
        stopped_s,
        date.today().isoformat(),
    )


class Begin(NamedTuple):
    """How a training goes on: on so many engines, after so many epochs."""

    run: Run
    epoch: int
    engines: int
    epochs_lost: int


def _begins_again(cluster: idl.Cluster, lost: Run) -> Begin:
    """From its last checkpoint, as a new run."""
    until(lambda: cluster.runs["drill"].id != lost.id, "it begins again")
    run = cluster.runs["drill"]
    until(lambda: run.history.started, "it says on what")
    started = run.history.started
    assert started is not None
    epoch = started.first_epoch
    return Begin(run, epoch, len(started.engines), lost.history.epoch - epoch)


def _goes_on(_: idl.Cluster, run: Run) -> Begin:
    """Among those who are left, as the same run."""
    before = run.history.epoch
    until(lambda: run.history.groups, "the others are a group")
    history = run.history
    return Begin(run, history.epoch, len(history.groups[-1].engines), before - history.epoch)


def strike(kind: str, cluster: idl.Cluster, run: Run) -> tuple[float, float]:
    """When, by the monotonic clock, and for how long nobody knew."""
    named: float | None = None
    if kind == DRAINED:
        drills.drain(NODE)
        named = until(lambda: f"{NODE} is drain" in cluster.state.reason, "the drain is named")
    struck_s = time.monotonic()
    if kind in CUT_OFF:
        link(CUT_OFF[kind], "down")
        if kind in WITH_GLOO:
            named = until(lambda: cluster.deaths, "the engine is named")
        else:
            node = f"from {CUT_OFF[kind]}"
            named = until(lambda: node in cluster.state.reason, "the node is named")
    elif kind == MAKES_ROOM:
        drills.displace(NODE)
        named = until(lambda: "makes room" in cluster.state.reason, "it is said")
        until(lambda: run.history.ended, "the run lets go")
    else:
        drills.kill(cluster, 0)
        seen = until(lambda: "SIGKILL" in cluster.state.reason, "the death is named")
        named = seen if named is None else named
    return struck_s, named


def renew(kind: str, cluster: idl.Cluster) -> None:
    """As a person does who reads the state."""
    if kind == MAKES_ROOM:
        until(lambda: cluster.state.name == "pre-empted", "it has made room")
        cluster.renew()
    elif "renews" in kind:
        cluster.renew(nodes=2)


def mend(kind: str) -> None:
    """Give the node back to Slurm."""
    if kind in CUT_OFF:
        link(CUT_OFF[kind], "up")
    elif kind == DRAINED:
        drills.undrain(NODE)


def orphans(cluster: idl.Cluster, node: str) -> int:
    """Processes on the node of engines that the cluster has no more; they may take a while."""
    if any(one.host == node for one in cluster.engines if one.state != "dead"):
        return 0  # it has engines again, and they are whom one finds there
    deadline_s = time.monotonic() + TIMEOUT_S
    while (found := drills.orphans(node)) and time.monotonic() < deadline_s:
        time.sleep(0.2)
    return len(found)


def table(measured: list[Drill]) -> str:
    """Markdown."""
    lines = [
        "| | drills | named, median / most | begun again | trained an epoch more | engines left |"
        " epochs lost, most | orphans | stop, most | on |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for kind in KINDS:
        ours = [one for one in measured if one.kind == kind]
        if ours:
            lines.append(
                f"| {kind} | {len(ours)} | {_times([one.named_s for one in ours])} |"
                f" {_times([one.resumed_s for one in ours])} |"
                f" {_times([one.trained_s for one in ours])} |"
                f" {', '.join(map(str, sorted({one.engines for one in ours})))} |"
                f" {max(one.epochs_lost for one in ours)} | {sum(one.orphans for one in ours)} |"
                f" {max(one.stopped_s for one in ours):.1f} s | {max(one.on for one in ours)} |"
            )
    return "\n".join(lines)


def _times(seconds: list[float]) -> str:
    return f"{median(seconds):.1f} / {max(seconds):.1f} s"


def write(measured: list[Drill], failed: dict[str, list[str]]) -> None:
    """Print the table, and keep it in ``docs/``; kinds that were not drilled stay as they were.

    Args:
        measured: what came of each drill.
        failed: for each kind that was drilled, what did not come to its end.
    """
    record = json.loads(RECORD.read_text())
    kept = [Drill(**one) for one in record["drills"] if one["kind"] not in failed]
    failed = {**record["failed"], **failed}
    drilled = sorted([*kept, *measured], key=lambda one: KINDS.index(one.kind))
    text = table(drilled)
    complaints = [f"{kind}: {one}" for kind, ones in failed.items() for one in ones]
    if complaints:
        text += "\n\nDrills that did not come to their end: " + "; ".join(complaints)
    print(f"\n{text}")
    record = {
        "machine": machine(),
        "failed": failed,
        "drills": [one._asdict() for one in drilled],
    }
    RECORD.write_text(json.dumps(record, indent=1) + "\n")
    RECORD.with_suffix(".md").write_text(
        "# Ranks and nodes that are lost under Slurm\n\n"
        f"Written by `{COMMAND}`"
        f" ({machine()}; three virtual hosts share its cores, and start engines as slowly as that"
        " takes). Three engines on three nodes train a small model, and write a checkpoint every"
        " epoch of 1 s. Times are from the blow, median / most.\n\n"
        f"{text}\n\n"
        "With MPI, most of the time until the training begins again is the start of three or two"
        " engines with TensorFlow on this machine; of a job that makes room, also the grace that it"
        " has, and the other job. With Gloo the same run goes on: 5 s are Gloo's patience.\n"
    )


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=10, help="drills of each kind")
    parser.add_argument("--kind", default="", help="only those that begin with these words")
    options = parser.parse_args()
    kinds = [kind for kind in KINDS if kind.startswith(options.kind)]
    measured: list[Drill] = []
    failed: dict[str, list[str]] = {kind: [] for kind in kinds}
    drills.let_jobs_make_room()
    with tempfile.TemporaryDirectory(prefix="idl-ipython-") as ipython:
        os.environ["IPYTHONDIR"] = ipython
        for number in range(options.count):
            for kind in kinds:
                try:
                    measured.append(drill(kind))
                    print(f"{number + 1}: {measured[-1]}", flush=True)
                except (TimeoutError, idl.errors.InteractiveDLError) as error:
                    failed[kind].append(str(error))
                    print(f"{number + 1}: {kind}: {error}", flush=True)
                    mend(kind)
    write(measured, failed)


if __name__ == "__main__":
    main()
