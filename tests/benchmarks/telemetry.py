"""What it costs to tell a run, and what the recorder stands: ``telemetry.py [--quick]``.

Prints a Markdown table; ``measure`` returns its rows.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil

from interactive_dl.cluster._ports import quiet_ports
from interactive_dl.telemetry import _address, events, journal
from interactive_dl.telemetry.publisher import RecorderPublisher
from interactive_dl.telemetry.recorder import await_recorder, recorder_command
from interactive_dl.telemetry.run import Runs

_SENDERS = 64
_PROCESSES = 4
_DEADLINE_S = 60.0


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    what: str
    measured: str
    goal: str
    is_met: bool


@dataclass(frozen=True)
class Scale:
    """How much is done of everything."""

    publishes: int
    rate_s: float
    journal_events: int
    kills: int


FULL = Scale(publishes=4000, rate_s=60.0, journal_events=1_000_000, kills=200)
QUICK = Scale(publishes=800, rate_s=5.0, journal_events=100_000, kills=10)


def measure(scale: Scale) -> list[Row]:
    """All rows; each measurement has a recorder of its own."""
    rows: list[Row] = []
    measurements = (publish_cost, sustained_rate, attaching, kills)
    for measurement in measurements:
        with (
            tempfile.TemporaryDirectory(prefix="idl-bench-") as place,
            recorder(Path(place)) as one,
        ):
            rows += measurement(one, scale)
            print(f"| {' | '.join(_cells(rows[-1]))} |", file=sys.stderr, flush=True)
    return rows


class Recorder:
    """A recorder under its supervisor, which is never given up."""

    def __init__(self, place: Path) -> None:
        self.folder, self.runs = place / "cluster", place / "runs"
        self.folder.mkdir()
        command = recorder_command(self.folder, self.runs, *quiet_ports(1))
        with (place / "recorder.log").open("wb") as log:
            self.supervisor = subprocess.Popen(
                [*command, "--deaths", "1000000"], stdout=log, stderr=log, start_new_session=True
            )
        await_recorder(self.folder, _DEADLINE_S, lambda: self.supervisor.poll() is not None)

    @property
    def address(self) -> _address.Address:
        return _address.read(self.folder)

    def child(self) -> psutil.Process:
        """The recorder proper, as soon as there is one."""
        found: list[psutil.Process] = []
        while not (found := psutil.Process(self.supervisor.pid).children()):
            time.sleep(0.001)
        return found[0]

    def tell(self, run: str, engine: int = 0) -> RecorderPublisher:
        return RecorderPublisher(run, engine, self.address, timeout_s=_DEADLINE_S)


@contextmanager
def recorder(place: Path) -> Iterator[Recorder]:
    """Start a recorder, and end it."""
    one = Recorder(place)
    try:
        yield one
    finally:
        one.supervisor.terminate()
        one.supervisor.wait(_DEADLINE_S)


def report(step: int) -> events.Progress:
    """As a run of four ranks tells it five times a second."""
    times = tuple(0.01 + 0.0001 * rank for rank in range(4))
    metrics: dict[str, events.Number] = {"loss": 1.0 / (step + 1), "accuracy": 0.5}
    ranks = events.RankTimes(times, times, times, times)
    return events.Progress(step, step // 500, step % 500, metrics, 1e-3, 800.0, 0.16, ranks)


# -- on the engine --------------------------------------------------------------------------------


def publish_cost(one: Recorder, scale: Scale) -> list[Row]:
    """What ``publish`` takes at 200 events a second, and when a follower's callback has them."""
    line = one.tell("cost-20260101-000000-0000")
    runs = Runs(one.runs, one.folder)
    arrived_s: dict[int, float] = {}

    def note(_: object, records: list[events.Record]) -> None:
        now_s = time.time()
        arrived_s.update((r.seq, now_s - r.time_s) for r in records)

    runs["cost"].subscribe(note)
    took_s = []
    for step in range(scale.publishes):
        event = report(step)
        begin_s = time.perf_counter()
        line.publish(event)
        took_s.append(time.perf_counter() - begin_s)
        time.sleep(0.005)
    line.publish(events.Ended("finished"))
    runs["cost"].wait(_DEADLINE_S)
    line.close(_DEADLINE_S)
    runs.close()
    p50, p99 = np.percentile(took_s, [50, 99]) * 1e6
    late50, late99 = np.percentile(list(arrived_s.values()), [50, 99]) * 1e3
    return [
        Row(
            "publish on the engine, p50 / p99",
            f"{p50:.1f} / {p99:.1f} µs",
            "≤ 100 µs",
            bool(p99 <= 100),
        ),
        Row(
            "event → a notebook's callback, p50 / p99",
            f"{late50:.1f} / {late99:.1f} ms",
            "≤ 150 / 400 ms (to the screen)",
            bool(late50 <= 150 and late99 <= 400),
        ),
    ]


# -- the recorder under load ----------------------------------------------------------------------


def sustained_rate(one: Recorder, scale: Scale) -> list[Row]:
    """64 senders tell 5,000 events a second together."""
    per_sender_s = 5000 / _SENDERS
    count = round(per_sender_s * scale.rate_s)
    context = multiprocessing.get_context("spawn")
    share = _SENDERS // _PROCESSES
    senders = [
        context.Process(
            target=_send_many,
            args=(one.folder, range(number * share, (number + 1) * share), count, per_sender_s),
        )
        for number in range(_PROCESSES)
    ]
    for sender in senders:
        sender.start()
    child = one.child()
    rss_mb: list[float] = []
    while any(sender.is_alive() for sender in senders):
        rss_mb.append(child.memory_info().rss / 1e6)
        senders[0].join(0.5)
        if not senders[0].is_alive():
            for sender in senders:
                sender.join()
    cpu = sum(child.cpu_times()[:2])
    kept = sum(_count(path, count) for path in journal.journals(one.runs).values())
    growth_mb = rss_mb[-1] - rss_mb[len(rss_mb) // 3]
    lost = _SENDERS * count - kept
    return [
        Row(
            f"{_SENDERS} senders, {scale.rate_s:g} s at 5,000 events/s: lost",
            f"{lost} of {_SENDERS * count} (recorder {100 * cpu / scale.rate_s:.0f} % of a core)",
            "0",
            lost == 0,
        ),
        Row(
            "memory of the recorder meanwhile, begin → end",
            f"{rss_mb[len(rss_mb) // 3]:.1f} → {rss_mb[-1]:.1f} MB",
            "flat",
            growth_mb < 2,
        ),
    ]


def _send_many(folder: Path, senders: range, count: int, per_s: float) -> None:
    address = _address.read(folder)
    lines = [
        RecorderPublisher(f"load-20260101-000000-{sender:04x}", sender, address, _DEADLINE_S)
        for sender in senders
    ]
    begin_s = time.monotonic()
    for step in range(count):
        event = report(step)
        for line in lines:
            line.publish(event)
        time.sleep(max(0.0, begin_s + (step + 1) / per_s - time.monotonic()))
    for line in lines:
        line.publish(events.Ended("finished"))
        line.close(_DEADLINE_S)


def _count(path: Path, expected: int) -> int:
    """Reports of a journal that are there in their order; none is counted twice."""
    steps = [r.event.step for r in journal.records(path) if isinstance(r.event, events.Progress)]
    return len(steps) if steps == sorted(set(steps)) and len(steps) <= expected else 0


# -- coming back ----------------------------------------------------------------------------------


def attaching(one: Recorder, scale: Scale) -> list[Row]:
    """A notebook opens a run that has told a million events, through the recorder."""
    run = "long-20260101-000000-0000"
    writer = journal.Writer.open(journal.path_of(one.runs, run), run)
    for begin in range(0, scale.journal_events, 10_000):
        writer.append([_line(run, begin + number) for number in range(10_000)])
    writer.close()
    runs = Runs(one.runs, one.folder)
    begin_s = time.perf_counter()
    history = runs[run].history
    rows = history.progress.rows
    took_s = time.perf_counter() - begin_s
    runs.close()
    assert rows + len(history.log) > 0
    assert not history.gaps
    events_ = f"{scale.journal_events:,} events, {writer.size / 1e6:.0f} MB"
    return [Row(f"attach to a run of {events_}", f"{took_s:.2f} s", "≤ 3 s", took_s <= 3)]


def _line(run: str, seq: int) -> bytes:
    event = report(seq) if seq % 10 else events.LogLine("stdout", f"line {seq}")
    return events.encode(events.Record(run, 0, seq, 1.7e9 + seq, event))


# -- deaths ---------------------------------------------------------------------------------------


def kills(one: Recorder, scale: Scale) -> list[Row]:
    """The recorder is killed at random moments while a run tells 2,000 events a second."""
    run = "kill-20260101-000000-0000"
    line = one.tell(run)
    stop = threading.Event()
    told: list[int] = []

    def train() -> None:
        while not stop.wait(0.0005):
            line.publish(report(len(told)))
            told.append(len(told))

    thread = threading.Thread(target=train)
    thread.start()
    chance = random.Random(1)
    spoilt = 0
    for _ in range(scale.kills):
        time.sleep(chance.uniform(0.0, 0.3))
        child = one.child()
        child.send_signal(signal.SIGKILL)
        _until(lambda child=child: not child.is_running())
        spoilt += not _is_whole(journal.path_of(one.runs, run))
    stop.set()
    thread.join()
    line.publish(events.Ended("finished"))
    line.close(_DEADLINE_S)
    records = journal.records(journal.path_of(one.runs, run))
    kept = [r.event.step for r in records if isinstance(r.event, events.Progress)]
    lost = len(told) - len(kept)
    doubled = len(kept) - len(set(kept))
    return [
        Row(
            f"recorder killed -9 {scale.kills} times: events lost / doubled / journals spoilt",
            f"{lost} / {doubled} / {spoilt} of {len(told)}",
            "0 / 0 / 0",
            kept == told and not spoilt,
        )
    ]


def _is_whole(path: Path) -> bool:
    """Whether every record that a reader sees now is one, none twice, none missing between."""
    try:
        seqs = [r.seq for r in journal.records(path) if r.engine == 0]
    except journal.JournalError:
        return not path.exists()
    return seqs == list(range(len(seqs)))


def _until(is_so: Callable[[], bool]) -> None:
    end_s = time.monotonic() + _DEADLINE_S
    while not is_so():
        assert time.monotonic() < end_s
        time.sleep(0.001)


def table(rows: list[Row]) -> str:
    """The rows as Markdown."""
    head = ["| | measured | goal | |", "|---|---|---|---|"]
    return "\n".join([*head, *(f"| {' | '.join(_cells(row))} |" for row in rows)])


def _cells(row: Row) -> tuple[str, ...]:
    return row.what, row.measured, row.goal, "met" if row.is_met else "missed"


def main() -> int:
    """Measure, print the table; 1 if a goal was missed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="a little of everything")
    rows = measure(QUICK if parser.parse_args().quick else FULL)
    print(table(rows))
    return 0 if all(row.is_met for row in rows) else 1


if __name__ == "__main__":
    os.environ.pop(_address.CLUSTER_VARIABLE, None)
    sys.exit(main())
