"""Scripts write their journals themselves."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from interactive_dl.errors import (
    CommandRefusedError,
    InteractiveDLWarning,
    JournalError,
)
from interactive_dl.telemetry import _address, events, journal, publisher
from interactive_dl.telemetry.publisher import JournalPublisher, RecorderPublisher
from interactive_dl.telemetry.run import Run, Runs, open_run
from tests.telemetry.telling import DEADLINE_S, RUN, progress, records, started

Until = Callable[..., None]
Tell = Callable[..., RecorderPublisher]
Told = tuple[RecorderPublisher, Run]


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
