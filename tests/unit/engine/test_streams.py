"""When a flush costs something; that what is printed arrives is tested with real engines."""

from __future__ import annotations

import pytest
from ipykernel.iostream import OutStream

from interactive_dl.engine._streams import Stream


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What ipykernel's stream is asked to do."""
    asked: list[str] = []

    def write(_stream: OutStream, text: str) -> int:
        asked.append(text)
        return len(text)

    monkeypatch.setattr(OutStream, "write", write)
    monkeypatch.setattr(OutStream, "flush", lambda _stream: asked.append("flushed"))
    monkeypatch.setattr(OutStream, "pub_thread", object(), raising=False)
    return asked


@pytest.fixture
def stream() -> Stream:
    return Stream.__new__(Stream)


def test_nothing_to_flush_asks_for_nothing(stream: Stream, done: list[str]) -> None:
    stream.flush()
    assert done == []


def test_a_flush_is_for_what_was_written_since_the_last(stream: Stream, done: list[str]) -> None:
    for word in ("one", "two"):
        assert stream.write(word) == 3
        stream.flush()
        stream.flush()
    assert done == ["one", "flushed", "two", "flushed"]


def test_lines_are_flushed_as_well(stream: Stream, done: list[str]) -> None:
    stream.writelines(["one", "two"])
    stream.flush()
    assert done == ["one", "two", "flushed"]
