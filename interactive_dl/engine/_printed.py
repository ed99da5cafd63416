"""What a training prints is told line by line, and printed all the same."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from interactive_dl.telemetry.events import LogLine, Stream

_LONGEST = 2000


class Tee:
    """Writes to another stream, and hands each whole line on; of a progress bar, how it ended.

    Args:
        stream: where it is printed.
        name: how the lines call it.
        tell: takes the lines; from any thread that prints, one at a time.
    """

    def __init__(self, stream: TextIO, name: Stream, tell: Callable[[LogLine], None]) -> None:
        self._stream = stream
        self._name = name
        self._tell = tell
        self._begun = ""
        self._lock = threading.Lock()

    def write(self, text: str) -> int:
        """Print, and tell the lines that are whole now."""
        self._stream.write(text)
        with self._lock:
            *lines, self._begun = (self._begun + text).split("\n")
            self._begun = self._begun.rpartition("\r")[2][-_LONGEST:]
            for line in lines:
                shown = line.rstrip("\r").rpartition("\r")[2]
                if shown.strip():
                    self._tell(LogLine(self._name, shown[:_LONGEST]))
        return len(text)

    def writelines(self, texts: Iterable[str]) -> None:
        """Write one after the other."""
        for text in texts:
            self.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def told(tell: Callable[[LogLine], None]) -> Iterator[None]:
    """Tell what this process prints while the body runs."""
    before = sys.stdout, sys.stderr
    ours = Tee(sys.stdout, "stdout", tell), Tee(sys.stderr, "stderr", tell)
    sys.stdout, sys.stderr = ours
    try:
        yield
    finally:
        if (sys.stdout, sys.stderr) == ours:  # else somebody redirects them, and gives ours back
            sys.stdout, sys.stderr = before
