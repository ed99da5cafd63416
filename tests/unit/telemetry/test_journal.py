"""Journals: whole lines or none, one writer, readers at any time."""

from __future__ import annotations

import gc
import resource
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interactive_dl.errors import JournalError
from interactive_dl.telemetry import events, journal
from interactive_dl.telemetry.events import Record
from interactive_dl.telemetry.journal import Writer

RUN = "rpv-20260314-101500-a1b2"


def line(seq: int, text: str = "x") -> bytes:
    return events.encode(Record(RUN, 0, seq, 1.5, events.LogLine("stdout", text)))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return journal.path_of(tmp_path / "runs", RUN)


@pytest.fixture
def writer(path: Path) -> Iterator[Writer]:
    opened = Writer.open(path, RUN)
    yield opened
    opened.close()


def seqs(path: Path) -> list[int]:
    return [one.seq for one in journal.decode(journal.read(path, 0), str(path))]


def test_what_was_appended_is_read(writer: Writer, path: Path) -> None:
    writer.append([line(0), line(1)])
    writer.append([line(2)])
    assert seqs(path) == [0, 1, 2]
    assert writer.size == path.stat().st_size
    assert journal.header(path).run == RUN


@given(texts=st.lists(st.text(max_size=200), max_size=20), limit_bytes=st.integers(1, 500))
def test_any_limit_gives_every_whole_line_once(
    texts: list[str], limit_bytes: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = journal.path_of(tmp_path_factory.mktemp("runs"), RUN)
    writer = Writer.open(path, RUN)
    writer.append([line(seq, text) for seq, text in enumerate(texts)])
    writer.close()
    offset, found = 0, b""
    while (chunk := journal.read(path, offset, limit_bytes)).data:
        assert chunk.data.endswith(b"\n")
        found, offset = found + chunk.data, chunk.next_offset
    assert found == path.read_bytes()
    assert chunk.is_last


@given(st.lists(st.binary(max_size=9).filter(lambda text: b"\n" not in text)), st.integers(1, 30))
def test_the_parts_of_a_chunk_are_its_lines_in_pieces(lines: list[bytes], limit_bytes: int) -> None:
    data = b"".join(line + b"\n" for line in lines)
    chunk = journal.Chunk(7, data, 7 + len(data))
    parts = list(chunk.parts(limit_bytes))
    assert b"".join(part.data for part in parts) == data
    offsets = [7, *(part.next_offset for part in parts)]
    assert [part.offset for part in parts] == offsets[:-1]
    assert [part.is_last for part in parts] == [False] * (len(parts) - 1) + [True]
    for part in parts:
        assert part.data.endswith(b"\n") or not data
        assert b"\n" not in part.data[limit_bytes - 1 : -1]


@pytest.mark.parametrize("is_enabled", [True, False])
def test_decoding_leaves_the_garbage_collector_as_it_was(
    writer: Writer, path: Path, is_enabled: bool
) -> None:
    writer.append([line(0), b"no record"])
    try:
        (gc.enable if is_enabled else gc.disable)()
        with pytest.raises(JournalError):
            seqs(path)
        assert gc.isenabled() is is_enabled
    finally:
        gc.enable()


@pytest.mark.parametrize("torn", [b"", b"{", line(2), b"x" * 200_000])
def test_a_torn_last_line_is_not_read_and_is_cut_off_by_the_next_writer(
    writer: Writer, path: Path, torn: bytes
) -> None:
    writer.append([line(0), line(1)])
    writer.close()
    whole = path.read_bytes()
    path.write_bytes(whole + torn)
    assert seqs(path) == [0, 1]
    again = Writer.open(path, RUN)
    assert path.read_bytes() == whole
    again.append([line(2)])
    again.close()
    assert seqs(path) == [0, 1, 2]


def test_a_journal_that_lost_its_first_line_is_begun_anew(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b'{"journal":1,"ru')
    Writer.open(path, RUN).close()
    assert journal.header(path).run == RUN


def test_a_second_writer_is_refused(writer: Writer, path: Path) -> None:
    with pytest.raises(JournalError, match="one writer"):
        Writer.open(path, RUN)


def test_a_journal_of_another_run_is_refused(writer: Writer, path: Path) -> None:
    writer.close()
    with pytest.raises(JournalError, match="belongs to one run"):
        Writer.open(path, "other")


@contextmanager
def _files_up_to(limit_bytes: int) -> Iterator[None]:
    """As if the disk were full: writes beyond the limit fail half way."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    heard = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, heard)


def test_a_full_disk_leaves_the_journal_as_it_was_and_is_told(writer: Writer, path: Path) -> None:
    writer.append([line(0)])
    with _files_up_to(writer.size + 10), pytest.raises(JournalError, match="df -h"):
        writer.append([line(1)])
    assert path.stat().st_size == writer.size
    writer.append([line(1)])
    assert seqs(path) == [0, 1]


def test_a_journal_of_a_newer_format_is_refused_with_its_version(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b'{"journal":99,"run":"x","package":"7.0"}\n')
    with pytest.raises(JournalError, match=r"format 99, written by 7\.0.*pip install --upgrade"):
        seqs(path)


def test_an_event_of_a_newer_version_is_told_not_skipped(writer: Writer, path: Path) -> None:
    unknown = b'{"run":"x","engine":0,"seq":0,"time_s":1.0,"event":{"kind":"Unheard"}}'
    writer.append([unknown])
    with pytest.raises(JournalError, match="no record that this version"):
        seqs(path)


@pytest.mark.parametrize("text", [b"", b"hello\n", b"{}\n"])
def test_what_is_no_journal_is_refused(path: Path, text: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(text)
    with pytest.raises(JournalError, match="begins with a line"):
        journal.header(path)


def test_a_missing_journal_is_told(path: Path) -> None:
    with pytest.raises(JournalError, match="readable file"):
        journal.read(path, 0)


@pytest.mark.parametrize("run", ["", "../x", "a/b", ".x"])
def test_an_id_that_cannot_name_a_file_is_refused(run: str, tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="names its journal"):
        journal.path_of(tmp_path, run)


def test_journals_are_listed_by_their_beginning(tmp_path: Path) -> None:
    runs = ["b-20260101-000000-0000", "a-20260102-000000-0000", "odd"]
    for run in runs:
        (tmp_path / f"{run}.jsonl").touch()
    (tmp_path / "notes.txt").touch()
    assert list(journal.journals(tmp_path)) == ["odd", *runs[:2]]


def test_a_new_id_says_name_and_time() -> None:
    run = events.new_run_id("my run/1")
    assert journal.origin(run).name == "my-run-1"
    assert abs(journal.origin(run).began_s - time.time()) < 60


def test_the_tail_is_whole_lines(writer: Writer, path: Path) -> None:
    writer.append([line(seq) for seq in range(10)])
    assert journal.tail(path, 3 * len(line(0)) + 3) == [line(8), line(9)]
    assert len(journal.tail(path)) == 11
