"""Signs of life from an engine to its watcher, by a thread of its own through a pipe.

A stopped process (SIGSTOP, a frozen one) keeps the others of its group waiting in the allreduce for
ever. MPI does not notice it, since it is not dead; a busy one looks the same from outside. The
watcher tells them apart: a busy engine beats, or at least uses its processor; a stalled one does
neither, and is killed, so that MPI and the others know.
"""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass, replace

import psutil

BEATS_VARIABLE = "IDL_BEATS"
"""Environment variable with the number of the pipe's end to write to."""

_PERIOD_S = 0.5
_STOPPED = frozenset({psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP})
_PATIENCE_STOPPED_S = 2.0
_PATIENCE_SILENT_S = 60.0


class Beats:
    """Beats until the process ends; ``start`` may be called again."""

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin, if there is a watcher."""
        number = os.environ.pop(BEATS_VARIABLE, None)
        if number is not None and self._thread is None:
            self._thread = threading.Thread(
                target=_beat, args=(int(number),), name="beats", daemon=True
            )
            self._thread.start()


def _beat(pipe: int) -> None:
    pause = threading.Event()
    while True:
        try:
            os.write(pipe, b".")
        except OSError:
            return  # the watcher is gone, and takes this process along
        pause.wait(_PERIOD_S)


@dataclass(frozen=True)
class Sign:
    """What the watcher last knew.

    Attributes:
        beat_s: when the last beat came.
        cpu_s: processor time used until then, or until it was last seen to grow.
        grew_s: when that was.
    """

    beat_s: float
    cpu_s: float
    grew_s: float

    def seen(self, now_s: float, *, has_beaten: bool, cpu_s: float) -> Sign:
        """What is known now."""
        beat_s = now_s if has_beaten else self.beat_s
        if cpu_s > self.cpu_s:
            return replace(self, beat_s=beat_s, cpu_s=cpu_s, grew_s=now_s)
        return replace(self, beat_s=beat_s)

    def stalled(self, now_s: float, status: str) -> str | None:
        """Why the engine counts as stalled; None while it does not.

        Args:
            now_s: by a clock that does not count a machine's sleep.
            status: the process's, as psutil names it.
        """
        silent_s = now_s - max(self.beat_s, self.grew_s)
        if status in _STOPPED and silent_s >= _PATIENCE_STOPPED_S:
            return f"it was stopped (state: {status}) and gave no sign of life for {silent_s:.1f} s"
        if silent_s >= _PATIENCE_SILENT_S:
            return f"it gave no sign of life for {silent_s:.0f} s (state: {status})"
        return None
