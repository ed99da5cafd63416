"""A run that is read from its journal's file."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from interactive_dl.errors import JournalError
from interactive_dl.telemetry import events, journal
from interactive_dl.telemetry.events import Record
from interactive_dl.telemetry.run import Run, open_run

RUN = "rpv-20260314-101500-a1b2"
_EVENTS = 20_000


def _written(folder: Path) -> Path:
    """A journal that is read in more than one piece."""
    path = journal.path_of(folder, RUN)
    writer = journal.Writer.open(path, RUN)
    them = [events.LogLine("stdout", "a line") for _ in range(_EVENTS)]
    records = [Record(RUN, 0, seq, 1.5, event) for seq, event in enumerate(them)]
    writer.append([events.encode(record) for record in records])
    assert writer.size > 2 * journal.LIMIT_BYTES
    writer.close()
    return path


def test_what_is_no_ranks_time_is_an_error_as_any_other_damage(tmp_path: Path) -> None:
    path = journal.path_of(tmp_path, RUN)
    writer = journal.Writer.open(path, RUN)
    times = events.RankTimes((0.1,), (0.2,), (0.3,), (0.4,))
    record = Record(RUN, 0, 0, 1.5, events.Progress(1, 0, 1, {}, 0.1, ranks=times))
    writer.append([events.encode(record).replace(b"[0.3]", b'["a while"]')])
    writer.close()
    run = open_run(path)
    try:
        with pytest.raises(JournalError, match="RankTimes has it.*Expected `float`, got `str`"):
            _ = run.history
    finally:
        run.close()


def test_a_subscriber_gets_whole_records(tmp_path: Path) -> None:
    path = journal.path_of(tmp_path, RUN)
    times = events.RankTimes((0.1,), (0.2,), (0.3,), (0.4,))
    told: list[events.AnyEvent] = [
        events.Progress(1, 0, 1, {"loss": 0.5}, 0.1, ranks=times),
        events.Ended("finished"),
    ]
    records = [Record(RUN, 0, seq, 1.5, event) for seq, event in enumerate(told)]
    writer = journal.Writer.open(path, RUN)
    writer.append(list(map(events.encode, records)))
    writer.close()
    run = open_run(path)
    came: list[Record] = []
    run.subscribe(lambda _run, them: came.extend(them))
    try:
        run.wait(30)
        assert came == records
        assert run.history.rank_times.compute_s.tolist() == [[0.2]]
    finally:
        run.close()


def test_a_subscriber_may_look_at_the_history_while_the_past_is_still_being_read(
    tmp_path: Path,
) -> None:
    came: list[int] = []
    has_all = threading.Event()

    def look(run: Run, records: Sequence[Record]) -> None:
        assert records[-1].event in run.history.log
        came.extend(record.seq for record in records)
        if came[-1] == _EVENTS - 1:
            has_all.set()

    run = open_run(_written(tmp_path))
    run.subscribe(look)
    try:
        assert has_all.wait(30)
        assert came == list(range(_EVENTS))
    finally:
        run.close()
