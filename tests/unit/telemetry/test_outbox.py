"""Events on their way out: numbered, bounded, kept until they have arrived."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from interactive_dl.telemetry import events
from interactive_dl.telemetry._outbox import Outbox


def outbox(capacity: int = 10) -> Outbox:
    return Outbox("run", 3, capacity, wall_s=lambda: 1.5)


def line(number: int) -> events.LogLine:
    return events.LogLine("stdout", str(number))


def batch(box: Outbox, seq: int = 0) -> list[events.Record]:
    return [events.decode(one) for one in box.batch(seq)]


@given(st.lists(st.sampled_from(["put", "number", "arrive"]), max_size=200), st.integers(1, 20))
def test_every_event_arrives_in_order_or_is_counted(steps: list[str], capacity: int) -> None:
    box, arrived, told = outbox(capacity), [], 0
    for step in [*steps, "number", "arrive", "number", "arrive"]:
        if step == "put":
            box.put(line(told))
            told += 1
        elif step == "number":
            box.number()
        else:
            some = batch(box, box.first_seq)
            arrived += some
            box.arrived(box.first_seq + len(some))
    assert [record.seq for record in arrived] == list(range(len(arrived)))
    texts = [int(r.event.text) for r in arrived if isinstance(r.event, events.LogLine)]
    dropped = sum(r.event.count for r in arrived if isinstance(r.event, events.Dropped))
    assert texts == sorted(set(texts))
    assert len(texts) + dropped == told
    assert box.waiting == 0


def test_what_matters_is_kept_where_the_buffer_is_full() -> None:
    box = outbox(capacity=1)
    for event in (line(0), line(1), events.CommandApplied("c", 1), events.Ended("finished")):
        box.put(event)
    box.number()
    assert [type(r.event).__name__ for r in batch(box)] == ["LogLine", "CommandApplied", "Ended"]
    box.arrived(3)
    box.number()
    assert [r.event for r in batch(box, 3)] == [events.Dropped(1)]


def test_a_batch_is_a_handy_message() -> None:
    box = outbox(capacity=5000)
    for _ in range(1000):
        box.put(events.LogLine("stdout", "x" * 1000))
    box.number()
    assert 1 < len(box.batch(0)) < 300
    box.put(events.LogLine("stdout", "x" * 1_000_000))
    box.number()
    assert len(box.batch(1000)) == 1


@pytest.mark.parametrize(
    "event",
    [
        events.Progress(1, 0, 1, {}, None, step_time_s=math.nan),
        events.Progress(1, 0, 1, {}, 0.1, ranks=events.RankTimes((math.inf,), (), (), ())),
        events.LogLine("stdout", "\ud800"),
    ],
)
def test_what_could_not_be_read_again_is_told_as_such(event: Any) -> None:
    box = outbox()
    box.put(event)
    box.number()
    (record,) = batch(box)
    assert isinstance(record.event, events.LogLine)
    assert "cannot be recorded" in record.event.text


def test_parameters_of_any_kind_are_recorded() -> None:
    parameters = {"rate": np.float32(0.5), "units": np.int64(3), "what": object}
    box = outbox()
    box.put(events.Started("x", (0,), ("a",), 1, parameters=parameters))
    box.number()
    (record,) = batch(box)
    assert isinstance(record.event, events.Started)
    assert record.event.parameters["rate"] == 0.5
    assert record.event.parameters["units"] == 3
    assert "object" in record.event.parameters["what"]
