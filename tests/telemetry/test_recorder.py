"""Engines tell the recorder, whose processes are killed meanwhile."""

from __future__ import annotations

import signal
import stat
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest
import zmq

from interactive_dl.errors import (
    InteractiveDLWarning,
    RecorderRefusedError,
    RecorderUnreachableError,
)
from interactive_dl.telemetry import _address, events, journal, publisher, wire
from interactive_dl.telemetry._line import Line, hello
from interactive_dl.telemetry.publisher import RecorderPublisher
from interactive_dl.telemetry.recorder import await_recorder
from interactive_dl.telemetry.run import Run
from tests.telemetry.telling import DEADLINE_S, OTHER, RUN, progress, records, started

Until = Callable[..., None]
Tell = Callable[..., RecorderPublisher]
Told = tuple[RecorderPublisher, Run]


def test_the_recorder_answers_and_tells_its_address_to_its_user_only(recorder: Any) -> None:
    path = _address.path_in(recorder.folder)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [file.name for file in recorder.folder.iterdir()] == [path.name]


@pytest.mark.parametrize("wrong", ["client", "recorder"])
def test_a_wrong_key_is_an_error_at_start(recorder: Any, wrong: str) -> None:
    public, secret = (key.decode() for key in zmq.curve_keypair())
    changes = {"client_key": public, "client_secret": secret}
    if wrong == "recorder":
        changes = {"recorder_key": public}
    address = msgspec.structs.replace(recorder.address, **changes)
    with pytest.raises(RecorderUnreachableError, match="keys are of another cluster"):
        RecorderPublisher(RUN, 0, address, timeout_s=1.0)
    assert not recorder.runs.exists()
    RecorderPublisher(RUN, 0, recorder.address).close(DEADLINE_S)


@pytest.mark.parametrize("ends_by", ["a word that hurries", "goodbye"])
def test_words_are_gathered_until_one_hurries_or_goodbye_is_said(
    recorder: Any, tell: Tell, until: Until, ends_by: str
) -> None:
    line = tell(RUN, gather_s=10 * DEADLINE_S)
    line.publish(started())
    path = journal.path_of(recorder.runs, RUN)
    if ends_by == "goodbye":
        line.close(DEADLINE_S)
    else:
        line.publish(progress(1), hurries=True)
    until(lambda: len(journal.tail(path)) == (2 if ends_by == "goodbye" else 3), "all is told")


def test_without_encryption_nobody_is_heard(recorder: Any) -> None:
    with zmq.Context() as context, context.socket(zmq.DEALER) as plain:
        plain.linger = 0
        plain.connect(recorder.address.endpoint)
        plain.send(wire.encode(hello(RUN)))
        assert not plain.poll(500)
    assert not recorder.runs.exists()


def test_another_protocol_is_refused_with_both_versions(recorder: Any) -> None:
    line = Line(recorder.address)
    try:
        with pytest.raises(RecorderRefusedError, match=r"7\.0 speaks 99 .* speaks 3\."):
            line.greet(wire.Hello(99, "7.0", RUN), DEADLINE_S)
    finally:
        line.close()


def test_what_is_not_understood_is_refused_and_the_recorder_lives(recorder: Any) -> None:
    line = Line(recorder.address)
    try:
        line.greet(hello(), DEADLINE_S)
        line._socket.send(b"\xff\xff")
        line._socket.send_multipart([b"a", b"b", b"c"])
        line.wait(DEADLINE_S)
        answer = line.receive()
        assert isinstance(answer, wire.Refusal)
        assert "does not understand" in answer.reason
        line.greet(hello(), DEADLINE_S)
    finally:
        line.close()


def test_a_recorder_that_is_not_there_is_an_error_at_start(recorder: Any) -> None:
    address = recorder.address
    assert recorder.stop() == 0
    with pytest.raises(RecorderUnreachableError, match=r"cluster\.restart"):
        RecorderPublisher(RUN, 0, address, timeout_s=0.5)
    with pytest.raises(RecorderUnreachableError, match="Was the cluster stopped"):
        _address.read(recorder.folder)


def test_everything_told_is_in_the_journal_once_and_in_order(recorder: Any, tell: Tell) -> None:
    line = tell(RUN, engine=3)
    line.publish(started())
    for step in range(1, 2001):
        line.publish(progress(step))
    line.publish(events.Ended("finished"))
    line.close(DEADLINE_S)
    found = records(journal.path_of(recorder.runs, RUN))
    assert [record.seq for record in found] == list(range(2002))
    assert [r.event.step for r in found if isinstance(r.event, events.Progress)] == [
        *range(1, 2001)
    ]
    assert journal.header(journal.path_of(recorder.runs, RUN)).cluster == str(recorder.folder)


def test_another_process_goes_on_where_an_earlier_one_ended(recorder: Any, tell: Tell) -> None:
    for first in (0, 5):
        publisher = tell(RUN)
        for step in range(first, first + 5):
            publisher.publish(progress(step + 1))
        publisher.close(DEADLINE_S)
    told = records(journal.path_of(recorder.runs, RUN))
    assert [record.seq for record in told] == list(range(10))
    assert [record.event.step for record in told] == list(range(1, 11))


def test_engines_find_the_recorder_of_their_cluster(
    recorder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(_address.CLUSTER_VARIABLE, str(recorder.folder))
    line = publisher.open(RUN, 0)
    assert isinstance(line, RecorderPublisher)
    line.publish(events.Ended("finished"))
    line.close(DEADLINE_S)
    assert journal.outcome(journal.path_of(recorder.runs, RUN)) == "finished"


def test_two_runs_lose_nothing_while_the_recorder_is_killed(
    recorder: Any, tell: Tell, until: Until
) -> None:
    lines = [tell(RUN, 0), tell(OTHER, 1)]
    stop = threading.Event()
    counts = [0, 0]

    def train(which: int) -> None:
        while not stop.is_set():
            counts[which] += 1
            lines[which].publish(progress(counts[which]))
            stop.wait(0.001)

    threads = [threading.Thread(target=train, args=(which,)) for which in (0, 1)]
    for thread in threads:
        thread.start()
    for _ in range(3):
        enough = min(counts) + 50
        until(lambda enough=enough: min(counts) > enough)
        recorder.kill()
    stop.set()
    for thread in threads:
        thread.join()
    for which, run in enumerate((RUN, OTHER)):
        lines[which].close(DEADLINE_S)
        found = records(journal.path_of(recorder.runs, run))
        told = [r.event.step for r in found if isinstance(r.event, events.Progress)]
        assert told == list(range(1, counts[which] + 1))
        assert [r.seq for r in found if r.engine != events.RECORDER] == list(range(len(told)))


@pytest.mark.parametrize("kills", [5])
def test_kills_at_random_moments_never_spoil_the_journal(
    recorder_process: Any, until: Until, kills: int
) -> None:
    recorder_process.more_words = ("--deaths", "1000")
    recorder = recorder_process.start()
    line = RecorderPublisher(RUN, 0, recorder.address)
    told = 0
    for number in range(kills):
        pid = recorder.child().pid
        end_s = time.monotonic() + 0.01 * (number + 1)
        while time.monotonic() < end_s:
            told += 1
            line.publish(progress(told))
        recorder.kill()
        records(journal.path_of(recorder.runs, RUN))  # whole records at any moment
        until(lambda was=pid: recorder.child().pid != was)
    line.publish(events.Ended("finished"))
    line.close(DEADLINE_S)
    found = records(journal.path_of(recorder.runs, RUN))
    kept = [r.event.step for r in found if isinstance(r.event, events.Progress)]
    dropped = sum(r.event.count for r in found if isinstance(r.event, events.Dropped))
    assert len(kept) + dropped == told
    assert kept == sorted(set(kept))
    assert [r.seq for r in found if r.engine == 0] == list(range(sum(r.engine == 0 for r in found)))


def test_what_does_not_fit_into_the_buffer_is_counted_and_told(
    recorder: Any, tell: Tell, until: Until
) -> None:
    line = tell(RUN, capacity=10)
    child = recorder.child()
    child.suspend()
    for step in range(1, 101):
        line.publish(progress(step))
    child.resume()
    path = journal.path_of(recorder.runs, RUN)
    until(lambda: any(isinstance(r.event, events.Dropped) for r in records(path)))
    line.publish(events.Ended("finished"))
    line.close(DEADLINE_S)
    kept = [r for r in records(path) if isinstance(r.event, events.Progress)]
    dropped = [r.event.count for r in records(path) if isinstance(r.event, events.Dropped)]
    assert len(kept) + sum(dropped) == 100
    assert len(kept) <= 10


def test_a_recorder_that_stays_away_costs_a_warning_at_the_end(recorder: Any, tell: Tell) -> None:
    line = tell(RUN)
    recorder.stop()
    line.publish(progress(1))
    with pytest.warns(InteractiveDLWarning, match=f"1 events of the run {RUN}"):
        line.close(0.1)


def test_closing_is_idempotent_and_ends_the_thread(recorder: Any, tell: Tell) -> None:
    line = tell(RUN)
    line.close(DEADLINE_S)
    line.close(DEADLINE_S)
    assert not [t for t in threading.enumerate() if t.name == f"tell {RUN}"]


def test_supervisor_and_recorder_die_together(recorder: Any, until: Until) -> None:
    child = recorder.child()
    recorder.supervisor.kill()
    recorder.supervisor.wait(DEADLINE_S)
    until(lambda: not child.is_running(), "the recorder went with its supervisor")


def test_both_processes_bear_the_clusters_mark(recorder: Any) -> None:
    for process in (psutil.Process(recorder.supervisor.pid), recorder.child()):
        assert process.environ()[_address.CLUSTER_VARIABLE] == str(recorder.folder)


def test_sigint_is_the_notebooks_and_sigterm_ends_both(recorder: Any, until: Until) -> None:
    child = recorder.child()
    for process in (recorder.supervisor, child):
        process.send_signal(signal.SIGINT)
    await_recorder(recorder.folder, DEADLINE_S)
    assert recorder.child().pid == child.pid
    assert recorder.stop() == 0
    until(lambda: not child.is_running())
    assert not _address.path_in(recorder.folder).exists()


def test_a_recorder_that_dies_again_and_again_is_given_up(recorder: Any, until: Until) -> None:
    for _ in range(5):
        recorder.kill()
        until(lambda: recorder.supervisor.poll() is not None or recorder_is_up(recorder))
    assert recorder.supervisor.wait(DEADLINE_S) == 1
    assert "giving up" in recorder.log.read_text()


def recorder_is_up(recorder: Any) -> bool:
    try:
        return bool(psutil.Process(recorder.supervisor.pid).children())
    except psutil.NoSuchProcess:
        return False


def test_a_recorder_that_cannot_listen_says_so(recorder: Any, tmp_path: Path) -> None:
    second = type(recorder)(tmp_path, recorder.runs, recorder.port, tmp_path / "second.log")
    try:
        with pytest.raises(RecorderUnreachableError, match="and has ended"):
            second.start()
        assert "Address already in use" in second.log.read_text()
    finally:
        second.clean_up()
