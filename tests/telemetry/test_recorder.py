"""Engines tell the recorder, notebooks follow and steer; processes are killed meanwhile."""

from __future__ import annotations

import os
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
    CommandRefusedError,
    InteractiveDLWarning,
    JournalError,
    RecorderRefusedError,
    RecorderUnreachableError,
    RunNotFoundError,
)
from interactive_dl.telemetry import _address, events, exits, feed, journal, publisher, wire
from interactive_dl.telemetry._line import Line, hello
from interactive_dl.telemetry.publisher import JournalPublisher, RecorderPublisher
from interactive_dl.telemetry.recorder import await_recorder
from interactive_dl.telemetry.run import Runs, open_run
from interactive_dl.telemetry.steering import Pause, Resume, Sent, SetKnobs

RUN = "rpv-20260314-101500-a1b2"
OTHER = "digits-20260314-101501-a1b2"
DEADLINE_S = 30.0

Until = Callable[..., None]
Tell = Callable[..., RecorderPublisher]


def started(name: str = "rpv") -> events.Started:
    return events.Started(name, (0,), ("here",), epochs=3)


def progress(step: int) -> events.Progress:
    return events.Progress(step, 0, step, {"loss": 1.0 / step}, 0.1)


def records(path: Path) -> list[events.Record]:
    return list(journal.records(path))


# -- who may call ---------------------------------------------------------------------------------


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
        with pytest.raises(RecorderRefusedError, match=r"7\.0 speaks 99 .* speaks 1\."):
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


# -- what is told ---------------------------------------------------------------------------------


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


# -- the recorder's processes ---------------------------------------------------------------------


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


# -- following ------------------------------------------------------------------------------------


def test_a_run_is_followed_while_it_goes_on(
    recorder: Any, tell: Tell, runs: Runs, until: Until
) -> None:
    line = tell(RUN)
    line.publish(started())
    until(lambda: RUN in runs)
    run = runs["rpv"]
    assert run is runs[RUN]
    until(lambda: run.state == "running")
    seen: list[events.Record] = []
    unsubscribe = run.subscribe(lambda _, records: seen.extend(records))
    line.publish(progress(1))
    until(lambda: run.history.step == 1 and seen)
    unsubscribe()
    line.publish(progress(2))
    until(lambda: run.history.step == 2)
    assert [record.event for record in seen] == [progress(1)]
    line.publish(events.Ended("finished", step=2))
    assert run.wait(DEADLINE_S) == "finished"


def test_news_come_at_once_not_when_the_poll_is_over(
    recorder: Any, tell: Tell, until: Until
) -> None:
    line = tell(RUN)
    line.publish(started())
    reader = feed.RecorderFeed(recorder.address, RUN)
    try:
        offset = 0
        until(lambda: (piece := reader.read(0, 0)) and len(records_of(piece)) == 1)
        piece = reader.read(0, 0)
        assert piece is not None
        offset = piece.chunk.next_offset
        timer = threading.Timer(0.1, line.publish, [progress(1)])
        timer.start()
        begin_s = time.monotonic()
        piece = reader.read(offset, 20.0)
        assert time.monotonic() - begin_s < 10
        assert piece is not None
        assert [record.event for record in records_of(piece)] == [progress(1)]
        empty = reader.read(piece.chunk.next_offset, 0.1)
        assert empty is not None
        assert empty.chunk.data == b""
    finally:
        reader.close()


def records_of(piece: feed.Piece) -> list[events.Record]:
    return journal.decode(piece.chunk, "")


def test_a_follower_goes_on_after_the_recorder_was_killed(
    recorder: Any, tell: Tell, runs: Runs, until: Until
) -> None:
    line = tell(RUN)
    line.publish(started())
    until(lambda: RUN in runs)
    run = runs[RUN]
    until(lambda: run.state == "running")
    recorder.kill()
    line.publish(progress(1))
    until(lambda: run.history.step == 1)
    assert run.history.duplicates == 0


def test_a_run_is_followed_from_its_file_when_the_cluster_has_stopped(
    recorder: Any, tell: Tell, until: Until
) -> None:
    runs = Runs(recorder.runs, recorder.folder)
    line = tell(RUN)
    line.publish(started())
    line.publish(progress(7))
    until(lambda: RUN in runs)
    until(lambda: runs[RUN].history.step == 7)
    line.publish(events.Ended("stopped"))
    line.close(DEADLINE_S)
    recorder.stop()
    assert runs[RUN].wait(DEADLINE_S) == "stopped"
    runs.close()
    assert Runs(recorder.runs, recorder.folder)["rpv"].state == "stopped"


def test_an_unknown_run_is_named_with_the_known_ones(
    recorder: Any, tell: Tell, runs: Runs, until: Until
) -> None:
    tell(RUN)
    until(lambda: len(runs) == 1)
    with pytest.raises(RunNotFoundError, match=f"'nonsense' in .*: {RUN}"):
        runs["nonsense"]
    assert runs.get("nonsense") is None
    assert RUN in repr(runs)


def test_the_latest_run_of_a_name_is_taken(recorder: Any, tell: Tell, runs: Runs) -> None:
    later = "rpv-20260314-101501-0000"
    tell(later)
    tell(RUN)
    assert runs["rpv"].id == later
    assert list(runs) == [RUN, later]


def test_a_notebook_without_the_files_waits_for_the_recorder_to_come_back(
    recorder: Any, tell: Tell, until: Until, tmp_path: Path
) -> None:
    runs = Runs(tmp_path / "elsewhere", recorder.folder)
    tell(RUN).publish(started())
    until(lambda: RUN in runs)
    run = runs[RUN]
    try:
        until(lambda: run.state == "running")
        follower = run._follower
        assert follower is not None
        recorder.stop()
        until(lambda: follower.problem is not None)
        recorder.start()
        tell(RUN, engine=1).publish(progress(5))
        until(lambda: run.history.step == 5)
    finally:
        runs.close()


# -- steering -------------------------------------------------------------------------------------


def answers(line: RecorderPublisher, until: Until) -> list[Sent]:
    """The next commands, as a training hears them."""
    heard: list[Sent] = []

    def has_come() -> bool:
        line.wait_for_command(0.05)
        heard.extend(line.commands())
        return bool(heard)

    until(has_come)
    return heard


def test_a_command_is_passed_on_and_acknowledged(
    recorder: Any, tell: Tell, runs: Runs, until: Until
) -> None:
    line = tell(RUN)
    line.publish(started())
    until(lambda: RUN in runs)
    pending = runs[RUN].set(learning_rate=0.5, wait=False)
    (sent,) = answers(line, until)
    assert sent.command == SetKnobs({"learning_rate": 0.5})
    assert "@" in sent.who
    change = events.Change("learning_rate", 0.1, 0.5)
    line.publish(events.CommandApplied(sent.id, 12, (change,)))
    told = pending.result(DEADLINE_S)
    assert (told.id, told.step, told.changes) == (sent.id, 12, (change,))
    (status,) = runs[RUN].history.commands
    assert (status.state, status.who) == ("applied", sent.who)


def test_what_the_run_refuses_is_raised_with_its_reason(
    recorder: Any, tell: Tell, runs: Runs, until: Until
) -> None:
    line = tell(RUN)
    until(lambda: RUN in runs)
    pending = runs[RUN].set(nonsense=1, wait=False)
    (sent,) = answers(line, until)
    line.publish(events.CommandRefused(sent.id, "there is no knob 'nonsense'"))
    with pytest.raises(CommandRefusedError, match="set nonsense = 1: there is no knob"):
        pending.result(DEADLINE_S)


def test_a_run_that_does_not_answer_is_a_timeout(
    recorder: Any, tell: Tell, runs: Runs, until: Until
) -> None:
    tell(RUN)
    until(lambda: RUN in runs)
    with pytest.raises(TimeoutError, match="'pause' within"):
        runs[RUN].pause(timeout_s=0.3)


def test_commands_survive_the_death_of_the_recorder_and_come_once(
    recorder: Any, tell: Tell, runs: Runs, until: Until
) -> None:
    line = tell(RUN)
    line.publish(started())
    until(lambda: RUN in runs)
    run = runs[RUN]
    first = run.pause(wait=False)
    assert [sent.command for sent in answers(line, until)] == [Pause()]
    pid = recorder.child().pid
    recorder.kill()
    until(lambda: recorder.child().pid != pid)
    line.publish(progress(1))
    until(lambda: run.history.step == 1)  # the publisher is back
    second = run.resume(wait=False)
    assert [sent.command for sent in answers(line, until)] == [Resume()]
    for pending in (first, second):
        line.publish(events.CommandApplied(pending.id, 3))
        assert pending.result(DEADLINE_S).step == 3
    assert line.commands() == []


def test_the_commands_of_a_run_that_ends_are_refused(
    recorder: Any, tell: Tell, runs: Runs, until: Until
) -> None:
    line = tell(RUN)
    until(lambda: RUN in runs)
    pending = runs[RUN].stop(wait=False)
    line.publish(events.Ended("finished"))
    with pytest.raises(CommandRefusedError, match="ended"):
        pending.result(DEADLINE_S)
    until(lambda: runs[RUN].state == "finished")
    with pytest.raises(CommandRefusedError, match="has ended: finished"):
        runs[RUN].stop()


def test_a_run_of_nobody_here_takes_no_commands(recorder: Any, runs: Runs) -> None:
    line = JournalPublisher(RUN, 0, journal.path_of(recorder.runs, RUN))
    try:
        with pytest.raises(CommandRefusedError, match="No engine of the run"):
            runs[RUN].stop()
    finally:
        line.close(DEADLINE_S)


def test_a_stop_that_is_neither_after_step_nor_epoch_is_refused_here(
    recorder: Any, tell: Tell, runs: Runs, until: Until
) -> None:
    tell(RUN)
    until(lambda: RUN in runs)
    with pytest.raises(ValueError, match="'week'"):
        runs[RUN].stop(after="week")
    with pytest.raises(TypeError, match="a number"):
        runs[RUN].set(learning_rate=[1])


# -- runs that fall silent ------------------------------------------------------------------------


def test_a_run_whose_engines_are_all_dead_is_lost_with_the_reason(
    recorder: Any, runs: Runs, until: Until
) -> None:
    pid = os.fork()
    if pid == 0:
        line = RecorderPublisher(RUN, 0, recorder.address)
        line.publish(started())
        signal.pause()
    until(lambda: RUN in runs)
    run = runs[RUN]
    until(lambda: run.state == "running")
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    exits.record_exit(recorder.folder, exits.Exit(0, "here", pid, None, 9, time.time(), 0))
    assert run.wait(DEADLINE_S) == "lost"
    assert run.history.ended is not None
    assert run.history.ended.reason == "engine 0 on here: killed by SIGKILL"


# -- journals of scripts --------------------------------------------------------------------------


def test_a_script_writes_its_journal_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(_address.CLUSTER_VARIABLE, raising=False)
    monkeypatch.setenv(journal.RUNS_VARIABLE, str(tmp_path))
    line = publisher.open(RUN, 0)
    assert isinstance(line, JournalPublisher)
    line.publish(started())
    line.publish(events.Ended("finished"))
    assert line.commands() == []
    line.close(DEADLINE_S)
    line.close(DEADLINE_S)
    assert [r.seq for r in records(journal.path_of(tmp_path, RUN))] == [0, 1]
    with pytest.raises(JournalError, match="df -h"):
        JournalPublisher(RUN, 0, Path("/proc/nowhere/x.jsonl"))


def test_a_file_is_followed_while_another_process_writes_it(tmp_path: Path, until: Until) -> None:
    path = journal.path_of(tmp_path, RUN)
    go, went = os.pipe()
    pid = os.fork()
    if pid == 0:
        line = JournalPublisher(RUN, 0, path)
        for step in range(1, 1001):
            line.publish(progress(step))
        os.read(go, 1)
        line.publish(events.Ended("finished", step=1000))
        line.close(DEADLINE_S)
        os._exit(0)
    until(path.exists)
    until(lambda: path.stat().st_size)
    run = open_run(path)
    try:
        until(lambda: run.history.step == 1000)
        assert run.state == "running" or run.history.started is None
        with pytest.raises(CommandRefusedError, match=r"cluster\.runs"):
            run.stop()
        os.write(went, b"x")
        assert run.wait(DEADLINE_S) == "finished"
        assert not run.history.gaps
    finally:
        run.close()
        os.waitpid(pid, 0)


def test_a_folder_of_journals_is_read_without_a_recorder(tmp_path: Path) -> None:
    line = JournalPublisher(RUN, 0, journal.path_of(tmp_path, RUN))
    line.publish(events.Ended("finished"))
    line.close(DEADLINE_S)
    (tmp_path / "broken.jsonl").write_text("nonsense\n")
    runs = Runs(tmp_path)
    assert list(runs) == [RUN]
    assert runs["rpv"].wait(DEADLINE_S) == "finished"
    runs.close()
    assert not [t for t in threading.enumerate() if t.name.startswith("follow")]


def test_a_full_disk_stops_nothing_and_is_told_at_the_end(tmp_path: Path) -> None:
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    heard = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    line = JournalPublisher(RUN, 0, journal.path_of(tmp_path, RUN))
    resource.setrlimit(resource.RLIMIT_FSIZE, (200, before[1]))
    try:
        for step in range(1, 100):
            line.publish(progress(step))
        with pytest.warns(InteractiveDLWarning, match="must be writable"):
            line.close(DEADLINE_S)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, heard)


@pytest.mark.parametrize("where", ["here", "elsewhere"])
def test_a_journal_of_many_parts_is_read_whole(recorder: Any, where: str, tmp_path: Path) -> None:
    count = _write_many_parts(recorder.runs)
    folder = recorder.runs if where == "here" else tmp_path / "elsewhere"
    runs = Runs(folder, recorder.folder)
    history = runs[RUN].history
    runs.close()
    assert history.progress.rows == count
    assert not history.gaps
    assert history.duplicates == 0


def test_a_part_is_the_one_that_was_asked_for(recorder: Any) -> None:
    """Not the one that was asked for ahead."""
    _write_many_parts(recorder.runs)
    reader = feed.RecorderFeed(recorder.address, RUN)
    try:
        first = reader.read(0, 0)
        assert reader.read(0, 0) == first
    finally:
        reader.close()


def _write_many_parts(folder: Path) -> int:
    writer = journal.Writer.open(journal.path_of(folder, RUN), RUN)
    count = 20_000
    writer.append(
        [events.encode(events.Record(RUN, 0, seq, 1.0, progress(seq + 1))) for seq in range(count)]
    )
    assert writer.size > 2 * journal.LIMIT_BYTES
    writer.close()
    return count
