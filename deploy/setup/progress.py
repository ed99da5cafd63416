"""How far a slow step is, on one line."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TextIO

_CMAKE_PERCENT = re.compile(r"^\s*\[\s*(\d{1,3})%\]")
_PIP_PACKAGE = re.compile(r"^(?:Collecting|Requirement already satisfied:) ([A-Za-z0-9_.-]+)")
_QUIET_STEP = 10


def cmake_percent(line: str) -> int | None:
    """Percent that a line of ``make``'s output under CMake states, if it states one."""
    found = _CMAKE_PERCENT.match(line)
    return int(found[1]) if found else None


class PipPercent:
    """Percent of a pip installation: the packages that its output has named, of those expected.

    Args:
        expected: how many packages will about be installed.
    """

    def __init__(self, expected: int) -> None:
        self._expected = max(expected, 1)
        self._seen: set[str] = set()

    def __call__(self, line: str) -> int | None:
        """Percent after this line; None where the line names no package."""
        if line.startswith("Installing collected packages"):
            return 95
        found = _PIP_PACKAGE.match(line.strip())
        if found is None:
            return None
        self._seen.add(found[1].lower().replace("_", "-"))
        return min(90, 90 * len(self._seen) // self._expected)


class Progress:
    """Says how far a step is: one line rewritten on a terminal, else a line every 10 %.

    Args:
        title: what the step does.
        stream: where to write.
        clock: seconds, monotonic.
    """

    def __init__(self, title: str, stream: TextIO, clock: Callable[[], float]) -> None:
        self._title = title
        self._stream = stream
        self._clock = clock
        self._started_s = clock()
        self._is_terminal = stream.isatty()
        self._percent = 0
        self._written = -1

    def start(self) -> None:
        """Say that the step begins."""
        self._write("...")

    def update(self, percent: int | None = None) -> None:
        """Take note of a percentage; None only lets the time go on."""
        self._percent = max(self._percent, percent or 0)
        due = self._percent // _QUIET_STEP > self._written // _QUIET_STEP
        if self._is_terminal or (due and self._percent):
            self._write(f"{self._percent:3d} %")
            self._written = self._percent

    def finish(self, word: str = "done") -> None:
        """Say that the step has ended."""
        self._write(word, end="\n")

    def _write(self, state: str, end: str = "") -> None:
        text = f"{self._title:<44} {state:>6}  {elapsed(self._clock() - self._started_s)}"
        if self._is_terminal:
            self._stream.write(f"\r\033[K{text}{end}")
        else:
            self._stream.write(f"{text}\n")
        self._stream.flush()


def elapsed(seconds: float) -> str:
    """Minutes and seconds: ``3:07``."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}:{rest:02d}"
