"""Histories: the same records make the same history, whatever order they come in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from interactive_dl.telemetry import events, journal
from interactive_dl.telemetry.events import RECORDER, Record
from interactive_dl.telemetry.history import LOG_LINES, History
from interactive_dl.telemetry.steering import Pause, SetKnobs, Stop

_KNOB = events.KnobState("learning_rate", 0.1, low=0.0)
_STARTED = events.Started("rpv", (3, 4), ("a", "b"), epochs=2, first_step=7, knobs=(_KNOB,))


def progress(step: int, *, ranks: int = 2, **metrics: float | None) -> events.Progress:
    times = events.RankTimes(*[tuple(float(step + rank) for rank in range(ranks))] * 4)
    return events.Progress(step, 1, step, dict(metrics), 0.1, 100.0, 0.5, times if ranks else None)


def told(*them: events.Event, engine: int = 3, begin_s: float = 10.0) -> list[Record]:
    """Records of one engine, a second apart."""
    return [
        Record("run", engine, seq, begin_s + seq, event)  # type: ignore[arg-type]
        for seq, event in enumerate(them)
    ]


def history_of(*records: Record) -> History:
    history = History()
    history.extend(records)
    return history


def everything(history: History) -> list[Any]:
    """All that can be seen of a history, comparable."""
    seen: list[Any] = [
        {name: column.tolist() for name, column in table.items()}
        for table in (history.progress, history.epochs)
    ]
    seen += [
        [vars(table)[name].tolist() for name in vars(table)] for table in (history.rank_times,)
    ]
    seen += [history.commands, history.knobs, history.states, history.log, history.gaps]
    seen += [history.state, history.step, history.epoch, history.ended, history.started]
    seen += [history.losses_of_ranks, history.groups, history.evaluations, history.checkpoints]
    seen += [history.metrics, history.dropped]
    return [repr(one) for one in seen]


some_event: st.SearchStrategy[events.Event] = st.one_of(
    st.builds(
        progress,
        st.integers(0, 20),
        ranks=st.integers(0, 3),
        loss=st.none() | st.floats(-9, 9),
    ),
    st.builds(
        events.EpochEnded,
        st.integers(1, 3),
        st.integers(0, 20),
        st.dictionaries(st.sampled_from(["loss", "val_loss"]), st.floats(-9, 9)),
        st.floats(0, 9),
    ),
    st.builds(events.LogLine, st.just("stdout"), st.text(max_size=3)),
    st.builds(events.Dropped, st.integers(1, 5)),
    st.builds(events.StateChanged, st.sampled_from(["running", "paused", "regrouping"])),
    st.builds(events.CommandSent, st.sampled_from("abc"), st.just("me"), st.just(Pause())),
    st.builds(
        events.CommandApplied,
        st.sampled_from("abc"),
        st.integers(0, 20),
        st.just((events.Change("learning_rate", 0.1, 0.2),)),
    ),
    st.builds(events.CommandRefused, st.sampled_from("abc"), st.text(max_size=3)),
    st.builds(events.GroupChanged, st.just((3,)), st.just(("a",)), st.integers(0, 20)),
    st.builds(events.Ended, st.sampled_from(["finished", "stopped"])),
    st.just(_STARTED),
)


@st.composite
def some_records(draw: st.DrawFn) -> list[Record]:
    records: list[Record] = []
    for engine in (RECORDER, 3, 4):
        them = draw(st.lists(some_event, max_size=12))
        begin_s = draw(st.floats(0, 10))
        records += told(*them, engine=engine, begin_s=begin_s)
    return records


@given(some_records(), st.data())
def test_the_order_of_records_makes_no_difference(
    records: list[Record], data: st.DataObject
) -> None:
    shuffled = data.draw(st.permutations(records))
    assert everything(history_of(*shuffled)) == everything(history_of(*records))


@given(some_records())
def test_records_as_they_are_sketched_make_the_same_history(records: list[Record]) -> None:
    lines = b"".join(events.encode(record) + b"\n" for record in records)
    chunk = journal.Chunk(offset=1, data=lines, size=1 + len(lines))
    sketched = history_of(*journal.sketches(chunk, "run"))
    assert everything(sketched) == everything(history_of(*records))


@given(some_records(), st.data())
def test_looking_in_between_makes_no_difference(records: list[Record], data: st.DataObject) -> None:
    shuffled = data.draw(st.permutations(records))
    looked_at = History()
    for record in shuffled:
        looked_at.add(record)
        everything(looked_at)
    assert everything(looked_at) == everything(history_of(*records))


@given(some_records())
def test_one_record_at_a_time_makes_no_difference(records: list[Record]) -> None:
    history = History()
    for record in records:
        history.add(record)
    assert everything(history) == everything(history_of(*records))


def test_many_small_parts_make_the_same_columns_as_one() -> None:
    steps = np.random.default_rng(1).permutation(300).tolist()
    records = told(*(progress(step, ranks=step % 3, loss=float(step)) for step in steps))
    history = History()
    for record in records:
        history.add(record)
    assert everything(history) == everything(history_of(*records))


@given(some_records(), st.data())
def test_duplicates_are_counted_and_left_out(records: list[Record], data: st.DataObject) -> None:
    again = data.draw(st.lists(st.sampled_from(records), max_size=5)) if records else []
    history = history_of(*records, *again)
    assert history.duplicates == len(again)
    assert everything(history) == everything(history_of(*records))


@given(st.sets(st.integers(0, 30)), st.randoms(use_true_random=False))
def test_gaps_are_exactly_what_is_missing(came: set[int], random: Any) -> None:
    order = sorted(came)
    random.shuffle(order)
    history = history_of(*(Record("run", 3, seq, 0.0, events.Dropped(1)) for seq in order))
    missing = [seq for first, last in history.gaps.get(3, ()) for seq in range(first, last + 1)]
    assert missing == [seq for seq in range(max(came, default=0)) if seq not in came]


def test_columns_are_sorted_by_step_and_have_nan_where_nothing_was_told() -> None:
    history = history_of(*told(progress(5, loss=0.5), progress(2, loss=None, accuracy=0.9)))
    columns = history.progress
    assert columns["step"].tolist() == [2, 5]
    np.testing.assert_array_equal(columns["loss"], [np.nan, 0.5])
    np.testing.assert_array_equal(columns["accuracy"], [0.9, np.nan])
    assert columns["time_s"].tolist() == [11.0, 10.0]
    assert history.metrics == ("accuracy", "loss")


def test_an_empty_history_has_empty_columns() -> None:
    history = History()
    assert history.state == "starting"
    assert (history.step, history.epoch, history.metrics) == (0, 0, ())
    assert [len(history.progress[name]) for name in ("step", "learning_rate")] == [0, 0]
    assert len(history.epochs["duration_s"]) == 0
    assert history.rank_times.compute_s.shape == (0, 0)


def test_columns_that_were_handed_out_stay_as_they_are() -> None:
    history = history_of(*told(progress(5, loss=0.5)))
    before = history.progress["step"]
    history.extend(told(progress(1), progress(2), progress(9))[1:])
    assert before.tolist() == [5]
    assert history.progress["step"].tolist() == [2, 5, 9]
    with pytest.raises(ValueError, match="read-only"):
        before[0] = 1


def test_steps_that_were_done_again_after_going_back_are_left_out() -> None:
    history = history_of(
        *told(
            _STARTED,
            *(progress(step, loss=float(step)) for step in (8, 9, 10)),
            events.EpochEnded(1, 10, {"loss": 10.0}, 1.0),
            events.GroupChanged((3, 5), ("a", "b"), step=8),
            *(progress(step, loss=-float(step)) for step in (9, 10)),
        )
    )
    assert history.progress["step"].tolist() == [8, 9, 10]
    assert history.progress["loss"].tolist() == [8, -9, -10]
    assert history.rank_times.step.tolist() == [8, 9, 10]
    assert history.epochs["step"].tolist() == []
    assert history.step == 10
    assert len(history.frame()) == 3


def test_a_run_that_has_gone_back_is_there_before_it_tells_more() -> None:
    history = history_of(
        *told(_STARTED, progress(8), progress(10), events.GroupChanged((3, 5), ("a", "b"), 9))
    )
    assert (history.step, history.epoch) == (9, 1)


def test_of_one_moment_the_engine_and_its_count_say_what_was_first() -> None:
    change = Record("run", 4, 0, 11.0, events.GroupChanged((4,), ("b",), 8))
    history = history_of(*told(_STARTED, progress(9)), change)
    assert history.progress["step"].tolist() == []
    assert history.step == 8


def test_steps_before_a_smaller_group_stay() -> None:
    changed = events.GroupChanged((3,), ("a",), step=9)
    history = history_of(*told(_STARTED, progress(8), progress(9), changed, progress(10)))
    assert history.progress["step"].tolist() == [8, 9, 10]


def test_rank_times_are_padded_where_the_group_was_smaller() -> None:
    history = history_of(*told(progress(1, ranks=1), progress(2, ranks=3), progress(3, ranks=2)))
    np.testing.assert_array_equal(
        history.rank_times.compute_s, [[1, np.nan, np.nan], [2, 3, 4], [3, 4, np.nan]]
    )


def test_a_command_is_sent_then_applied_and_its_knob_has_the_new_value() -> None:
    sent = events.CommandSent("c1", "me@here", SetKnobs({"learning_rate": 0.2}))
    applied = events.CommandApplied("c1", 12, (events.Change("learning_rate", 0.1, 0.2),))
    history = history_of(*told(_STARTED), *told(sent, engine=RECORDER))
    (command,) = history.commands
    assert (command.state, command.step, command.who) == ("sent", None, "me@here")
    history.add(Record("run", 3, 1, 20.0, applied))
    (command,) = history.commands
    assert (command.state, command.step, command.changes) == ("applied", 12, applied.changes)
    assert history.knobs["learning_rate"].value == 0.2
    assert history.knobs["learning_rate"].low == 0.0


def test_a_refused_command_says_why() -> None:
    sent = events.CommandSent("c1", "me", Stop())
    refused = events.CommandRefused("c1", "no")
    (command,) = history_of(*told(sent, engine=RECORDER), *told(refused)).commands
    assert (command.state, command.reason) == ("refused", "no")


@pytest.mark.parametrize(
    ("them", "state"),
    [
        ((), "starting"),
        ((_STARTED,), "running"),
        ((_STARTED, events.StateChanged("paused")), "paused"),
        ((_STARTED, events.StateChanged("paused"), events.Ended("stopped")), "stopped"),
    ],
)
def test_the_state_is_the_last_that_was_told(them: tuple[events.Event, ...], state: str) -> None:
    assert history_of(*told(*them)).state == state


def test_a_run_that_is_heard_again_is_not_lost() -> None:
    lost = told(events.Ended("lost", "silent"), engine=RECORDER, begin_s=20)
    back = [Record("run", RECORDER, 1, 30.0, events.StateChanged("running", "heard again"))]
    assert history_of(*told(_STARTED), *lost).state == "lost"
    assert history_of(*told(_STARTED), *lost, *back).state == "running"
    finished = history_of(*told(_STARTED, events.Ended("finished")), *lost)
    assert finished.state == "finished"


def test_the_position_is_the_latest_told() -> None:
    assert history_of(*told(_STARTED)).step == 7
    history = history_of(*told(_STARTED, progress(20), progress(12)))
    assert (history.step, history.epoch) == (12, 1)
    history.add(Record("run", 3, 3, 99.0, events.EpochEnded(2, 14, {}, 1.0)))
    assert (history.step, history.epoch) == (14, 2)


def test_the_log_keeps_the_last_lines() -> None:
    lines = [events.LogLine("stdout", str(number)) for number in range(3 * LOG_LINES)]
    log = history_of(*told(*lines)).log
    assert len(log) == LOG_LINES
    assert log[-1].text == str(3 * LOG_LINES - 1)


def test_a_record_of_another_run_is_refused() -> None:
    history = history_of(*told(_STARTED))
    with pytest.raises(ValueError, match="one run"):
        history.add(Record("other", 3, 1, 0.0, events.Dropped(1)))


def test_frames_have_a_row_for_each_report_epoch_or_rank() -> None:
    history = history_of(
        *told(
            progress(1, ranks=1, loss=2.0),
            progress(2, loss=1.0),
            events.EpochEnded(1, 2, {"val_loss": 3.0}, 1.0),
        )
    )
    assert history.frame()["loss"].tolist() == [2.0, 1.0]
    assert history.frame()["step"].dtype == np.int64
    assert history.frame("epochs")["val_loss"].tolist() == [3.0]
    assert history.frame("ranks")[["step", "rank"]].to_numpy().tolist() == [[1, 0], [2, 0], [2, 1]]
    with pytest.raises(ValueError, match="progress, epochs, ranks"):
        history.frame("nonsense")  # type: ignore[arg-type]


def _csv(history: History, path: Path) -> list[float]:
    import pandas as pd

    history.to_csv(path)
    return list(pd.read_csv(path)["loss"])


def _parquet(history: History, path: Path) -> list[float]:
    import pandas as pd

    history.to_parquet(path)
    return list(pd.read_parquet(path)["loss"])


@pytest.mark.parametrize("through", [_csv, _parquet])
def test_files_hold_what_the_frame_holds(
    through: Callable[[History, Path], list[float]], tmp_path: Path
) -> None:
    history = history_of(*told(progress(1, loss=2.0), progress(2, loss=1.5)))
    assert through(history, tmp_path / "file") == [2.0, 1.5]


def test_tensorboards_files_hold_the_curves(tmp_path: Path) -> None:
    history = history_of(*told(progress(1, loss=2.0), progress(2, loss=1.5)))
    history.to_tensorboard(tmp_path)
    (written,) = tmp_path.iterdir()
    found = written.read_bytes()
    assert found.count(b"progress/loss") == 2
    assert b"progress/seq" not in found
