"""Notebooks follow runs through the recorder, or from their journals."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from interactive_dl.errors import RunNotFoundError
from interactive_dl.telemetry import events, exits, feed, journal
from interactive_dl.telemetry.publisher import RecorderPublisher
from interactive_dl.telemetry.run import Run, Runs
from tests.telemetry.telling import DEADLINE_S, RUN, progress, started

Until = Callable[..., None]
Tell = Callable[..., RecorderPublisher]
Told = tuple[RecorderPublisher, Run]


def test_a_run_is_followed_while_it_goes_on(runs: Runs, until: Until, told: Told) -> None:
    line, run = told
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
    recorder: Any, until: Until, told: Told
) -> None:
    line, run = told
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
