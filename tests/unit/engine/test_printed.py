"""Lines that a training prints are told, and printed."""

from __future__ import annotations

import io
import sys

import pytest

from interactive_dl.engine import _printed
from interactive_dl.telemetry.events import LogLine


def told(*pieces: str) -> tuple[list[str], str]:
    stream, lines = io.StringIO(), []
    tee = _printed.Tee(stream, "stdout", lambda line: lines.append(line.text))
    for piece in pieces:
        assert tee.write(piece) == len(piece)
    return lines, stream.getvalue()


def test_lines_are_told_when_they_are_whole_and_all_is_printed() -> None:
    assert told("one\ntw", "o\n", "thr") == (["one", "two"], "one\ntwo\nthr")


def test_of_a_progress_bar_its_end_is_told() -> None:
    assert told("1/3\r", "2/3\r", "3/3\n", "next\r\n")[0] == ["3/3", "next"]


def test_empty_lines_are_not_told_and_long_ones_are_cut() -> None:
    lines, _ = told("\n  \n", "x" * 5000 + "\n")
    assert [len(line) for line in lines] == [2000]


def test_a_bar_that_never_ends_does_not_pile_up() -> None:
    tee = _printed.Tee(io.StringIO(), "stdout", lambda line: None)
    for step in range(1000):
        tee.write(f"\rstep {step}")
    assert len(tee._begun) < 20


def test_both_streams_are_told_and_given_back(capsys: pytest.CaptureFixture[str]) -> None:
    lines: list[LogLine] = []
    before = sys.stdout, sys.stderr
    with _printed.told(lines.append):
        print("out")
        print("wrong", file=sys.stderr)
        assert sys.stdout.encoding == before[0].encoding
    assert (sys.stdout, sys.stderr) == before
    assert lines == [LogLine("stdout", "out"), LogLine("stderr", "wrong")]
    assert capsys.readouterr() == ("out\n", "wrong\n")
