"""What journals a folder has."""

from __future__ import annotations

import functools
from pathlib import Path

from interactive_dl.errors import JournalError
from interactive_dl.telemetry import journal
from interactive_dl.telemetry.wire import RunSummary


def summaries(folder: Path) -> tuple[RunSummary, ...]:
    """All runs that have a journal in ``folder``, the newest last; other files are left out."""
    found = (_summary(run, path) for run, path in journal.journals(folder).items())
    return tuple(one for one in found if one is not None)


def _summary(run: str, path: Path) -> RunSummary | None:
    try:
        status = path.stat()
        outcome = _outcome(path, status.st_size, status.st_mtime_ns)
    except (OSError, JournalError):
        return None
    origin = journal.origin(run)
    return RunSummary(run, origin.name, origin.began_s, outcome, status.st_size)


@functools.lru_cache(maxsize=10_000)
def _outcome(path: Path, _size: int, _changed_ns: int) -> str | None:
    """Read once for each state of the file."""
    journal.header(path)
    return journal.outcome(path)
