"""Wait until a recorder answers."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from interactive_dl.errors import RecorderUnreachableError
from interactive_dl.telemetry import _address
from interactive_dl.telemetry._line import Line, hello

_POLL_S = 0.01
_ANSWER_S = 0.5


def await_recorder(
    folder: Path, timeout_s: float, is_over: Callable[[], bool] = lambda: False
) -> None:
    """Wait until the cluster's recorder answers.

    Args:
        folder: the cluster's folder.
        timeout_s: how long at most.
        is_over: whether there is no hope left: its process has ended.

    Raises:
        RecorderUnreachableError: it did not answer in time, or is over.
        RecorderRefusedError: it speaks another version.
    """
    deadline_s = time.monotonic() + timeout_s
    while not _answers(folder, min(_ANSWER_S, timeout_s)):
        if is_over() or time.monotonic() > deadline_s:
            raise RecorderUnreachableError(
                f"A recorder answers when it is up, but the one of {folder} did not within"
                f" {timeout_s:g} s{' and has ended' if is_over() else ''}. See recorder.log there."
            )
        time.sleep(_POLL_S)


def _answers(folder: Path, timeout_s: float) -> bool:
    if not _address.path_in(folder).exists():
        return False
    line = Line(_address.read(folder))
    try:
        line.greet(hello(), timeout_s)
    except RecorderUnreachableError:
        return False
    finally:
        line.close()
    return True
