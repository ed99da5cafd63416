"""Who follows a journal after its end sees that it goes on."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from interactive_dl.telemetry import events, following, journal
from interactive_dl.telemetry.feed import FileFeed, FileSource

RUN = "toy-20260101-000000-abcd"
DEADLINE_S = 20.0


def line(seq: int, event: events.AnyEvent) -> bytes:
    return events.encode(events.Record(RUN, 0, seq, 0.0, event))


@pytest.mark.parametrize("lingers", [True, False])
def test_a_journal_that_goes_on_after_its_end_is_read_on(tmp_path: Path, lingers: bool) -> None:
    path = tmp_path / "journal.jsonl"
    writer = journal.Writer.open(path, RUN)
    writer.append([line(0, events.Ended("finished"))])
    size, news = 0, threading.Condition()

    def take(part: journal.Chunk) -> None:
        nonlocal size
        with news:
            size = part.next_offset
            news.notify_all()

    source = FileSource(path)
    follower = following.Follower("t", source, take, lambda: None, lingers=lingers)
    follower.start()
    with news:
        assert news.wait_for(lambda: size == writer.size, DEADLINE_S)
    if not lingers:
        follower._thread.join(DEADLINE_S)
        assert not follower._thread.is_alive()
        return
    writer.append([line(1, events.StateChanged("running"))])
    follower.look()
    with news:
        assert news.wait_for(lambda: size == writer.size, DEADLINE_S)
    follower.stop()
    assert not follower._thread.is_alive()
    writer.close()


def test_a_feed_that_its_thread_has_closed_already_may_be_interrupted(tmp_path: Path) -> None:
    feed = FileFeed(tmp_path / "journal.jsonl")
    feed.close()
    feed.interrupt()
