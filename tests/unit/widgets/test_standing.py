"""How far a run is, and what was asked of it."""

from __future__ import annotations

import pytest

from interactive_dl.telemetry import events, steering
from interactive_dl_widgets.views.commands import Asked, awaited_knobs, number, rows
from interactive_dl_widgets.views.knobs import Slider, slider
from interactive_dl_widgets.views.standing import duration, standing
from tests.unit.widgets.told import progress, started, told


def test_what_is_left_takes_as_long_as_the_epochs_did() -> None:
    view = standing(
        told(
            started(epochs=4, steps_per_epoch=10),
            events.EpochEnded(1, 10, {}, 30.0),
            progress(20, epoch=2, batch=0),
        )
    )
    assert (view.step, view.steps, view.done) == (20, 40, 0.5)
    assert view.left_s == 60.0


def test_in_the_first_epoch_steps_tell_and_a_pause_does_not_count() -> None:
    steps = [progress(n) for n in (1, 2, 3)]
    pause = [events.StateChanged("paused")] * 50
    history = told(started(epochs=1, steps_per_epoch=10), *steps, *pause, progress(4), progress(5))
    assert standing(history).left_s == 5.0


def test_without_steps_per_epoch_epochs_tell() -> None:
    history = told(started(steps_per_epoch=None), progress(7), progress(9, epoch=1))
    view = standing(history)
    assert (view.steps, view.done, view.left_s) == (None, 0.25, None)


def test_a_run_that_is_over_has_nothing_left_but_a_reason() -> None:
    view = standing(told(started(), events.Ended("failed", "rank 1 raised", 7, 0)))
    assert (view.state, view.reason, view.is_over, view.left_s) == (
        "failed",
        "rank 1 raised",
        True,
        None,
    )


def test_ranks_that_were_not_replaced_are_missing() -> None:
    lost = events.GroupChanged((1,), ("b",), 3, "lost rank 0")
    joined = events.GroupChanged((1, 2), ("b", "b"), 9, "engine 2 joined")
    assert standing(told(started())).missing == 0
    assert standing(told(started(), lost)).missing == 1
    assert standing(told(started(), lost, joined)).missing == 0


def test_dropped_and_missing_events_and_the_last_checkpoint_are_known() -> None:
    history = told(started(), events.Dropped(3), events.CheckpointWritten(5, 0, "a.keras"))
    history.add(events.Record("r", 0, 7, 7.0, events.CheckpointWritten(9, 1, "a.keras")))
    view = standing(history)
    assert view.untold == 3 + 4
    assert view.checkpoint == 9


def test_a_diverged_learning_rate_is_not_shown() -> None:
    assert standing(told(progress(1, learning_rate=None))).learning_rate is None
    assert standing(told(progress(1, learning_rate=0.5))).learning_rate == 0.5


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.2, "0 s"),
        (59.4, "59 s"),
        (65, "1 min 05 s"),
        (7260, "2 h 01 min"),
        (300_000, "3 d 11 h"),
    ],
)
def test_durations_are_said_as_people_do(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_commands_are_listed_newest_first_with_what_came_of_them() -> None:
    history = told(
        events.CommandSent("a", "me", steering.SetKnobs({"learning_rate": 3e-4})),
        events.CommandApplied("a", 7, (events.Change("learning_rate", 1e-3, 3e-4),)),
        events.CommandSent("b", "me", steering.SetKnobs({"momentum": -1})),
        events.CommandRefused("b", "momentum must be >= 0"),
        events.CommandSent("c", "you", steering.Stop(after="epoch")),
    )
    assert [(row.text, row.answer, row.detail) for row in rows(history)] == [
        ("stop after epoch", "pending", ""),
        ("set momentum = -1", "refused", "momentum must be >= 0"),
        ("set learning_rate = 0.0003", "applied", "step 7: learning_rate 0.001 → 0.0003"),
    ]


def test_what_was_just_asked_is_listed_once() -> None:
    history = told(events.CommandSent("a", "me", steering.Pause()))
    asked = [Asked("a", steering.Pause(), 0.0), Asked("b", steering.Resume(), 5.0)]
    assert [(row.text, row.answer) for row in rows(history, asked)] == [
        ("resume", "pending"),
        ("pause", "pending"),
    ]


def test_a_knob_is_awaited_until_its_command_is_answered() -> None:
    command = steering.SetKnobs({"momentum": 0.5})
    sent = events.CommandSent("a", "me", command)
    asked = [Asked("a", command, 0.0)]
    assert awaited_knobs(told(), asked) == {"momentum"}
    assert awaited_knobs(told(sent), asked) == {"momentum"}
    assert awaited_knobs(told(sent, events.CommandRefused("a", "no")), asked) == frozenset()


def test_numbers_are_short() -> None:
    assert [number(one) for one in (3e-4, 128, None, 1e-5)] == ["0.0003", "128", "NaN", "1e-05"]


@pytest.mark.parametrize(
    ("knob", "expected"),
    [
        (events.KnobState("learning_rate", 3e-3, low=0.0), Slider("log", 1e-6, 0.1, 0.02)),
        (events.KnobState("learning_rate", 3e-3), Slider("log", 1e-6, 0.1, 0.02)),
        (events.KnobState("decay", 0.1, low=1e-4, high=1.0), Slider("log", 1e-4, 1.0, 0.02)),
        (events.KnobState("dropout", 0.1, low=0.0, high=1.0), Slider("linear", 0, 1, 0.005)),
        (events.KnobState("steps", 5, kind="int", low=1, high=9), Slider("linear", 1, 9, 1)),
        (events.KnobState("steps", 5, kind="int", low=1, high=float("inf")), None),
        (events.KnobState("temperature", 5.0), None),
    ],
)
def test_a_slider_fits_its_knob(knob: events.KnobState, expected: Slider | None) -> None:
    found = slider(knob)
    if expected is None or found is None:
        assert found is expected
    else:
        assert found.scale == expected.scale
        assert [found.low, found.high, found.step] == pytest.approx(
            [expected.low, expected.high, expected.step]
        )
