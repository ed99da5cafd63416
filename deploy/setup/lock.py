"""One set-up at a time."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def locked(path: Path, doing: str) -> Iterator[int]:
    """Hold the lock ``path``, and wait for it if another process does; gives its descriptor.

    The kernel lets go of it when the last process that has the descriptor ends, however it ends.

    Args:
        path: file to lock; it is made if it is not there, and stays.
        doing: what the other process is doing, for the message while waiting.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"Another process is {doing}; waiting for it ({path}) ...", flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield file.fileno()
