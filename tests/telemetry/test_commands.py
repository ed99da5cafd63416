"""Notebooks send commands through the recorder, and hear what came of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from interactive_dl.errors import CommandRefusedError
from interactive_dl.telemetry import events, journal
from interactive_dl.telemetry.publisher import JournalPublisher, RecorderPublisher
from interactive_dl.telemetry.run import Run, Runs
from interactive_dl.telemetry.steering import Pause, Resume, Sent, SetKnobs
from tests.telemetry.telling import DEADLINE_S, RUN, progress

Until = Callable[..., None]
Told = tuple[RecorderPublisher, Run]


def answers(line: RecorderPublisher, until: Until) -> list[Sent]:
    """The next commands, as a training hears them."""
    heard: list[Sent] = []

    def has_come() -> bool:
        line.wait_for_command(0.05)
        heard.extend(line.commands())
        return bool(heard)

    until(has_come)
    return heard


def test_a_command_is_passed_on_and_acknowledged(until: Until, told: Told) -> None:
    line, run = told
    pending = run.set(learning_rate=0.5, wait=False)
    (sent,) = answers(line, until)
    assert sent.command == SetKnobs({"learning_rate": 0.5})
    assert "@" in sent.who
    change = events.Change("learning_rate", 0.1, 0.5)
    line.publish(events.CommandApplied(sent.id, 12, (change,)))
    answer = pending.result(DEADLINE_S)
    assert (answer.id, answer.step, answer.changes) == (sent.id, 12, (change,))
    (status,) = run.history.commands
    assert (status.state, status.who) == ("applied", sent.who)


def test_what_the_run_refuses_is_raised_with_its_reason(until: Until, told: Told) -> None:
    line, run = told
    pending = run.set(nonsense=1, wait=False)
    (sent,) = answers(line, until)
    line.publish(events.CommandRefused(sent.id, "there is no knob 'nonsense'"))
    with pytest.raises(CommandRefusedError, match="set nonsense = 1: there is no knob"):
        pending.result(DEADLINE_S)


def test_a_run_that_does_not_answer_is_a_timeout(told: Told) -> None:
    _, run = told
    with pytest.raises(TimeoutError, match="'pause' within"):
        run.pause(timeout_s=0.3)


def test_commands_survive_the_death_of_the_recorder_and_come_once(
    recorder: Any, until: Until, told: Told
) -> None:
    line, run = told
    first = run.pause(wait=False)
    assert [sent.command for sent in answers(line, until)] == [Pause()]
    pid = recorder.child().pid
    recorder.kill()
    until(lambda: recorder.child().pid != pid)
    line.publish(progress(1))
    until(lambda: run.history.step == 1)  # the publisher is back
    second = run.resume(wait=False)
    assert [sent.command for sent in answers(line, until)] == [Resume()]
    for pending in (first, second):
        line.publish(events.CommandApplied(pending.id, 3))
        assert pending.result(DEADLINE_S).step == 3
    assert line.commands() == []


def test_the_commands_of_a_run_that_ends_are_refused(until: Until, told: Told) -> None:
    line, run = told
    pending = run.stop(wait=False)
    line.publish(events.Ended("finished"))
    with pytest.raises(CommandRefusedError, match="ended"):
        pending.result(DEADLINE_S)
    until(lambda: run.state == "finished")
    with pytest.raises(CommandRefusedError, match="has ended: finished"):
        run.stop()


def test_a_run_of_nobody_here_takes_no_commands(recorder: Any, runs: Runs) -> None:
    line = JournalPublisher(RUN, 0, journal.path_of(recorder.runs, RUN))
    try:
        with pytest.raises(CommandRefusedError, match="No engine of the run"):
            runs[RUN].stop()
    finally:
        line.close(DEADLINE_S)


def test_a_stop_that_is_neither_after_step_nor_epoch_is_refused_here(told: Told) -> None:
    _, run = told
    with pytest.raises(ValueError, match="'week'"):
        run.stop(after="week")
    with pytest.raises(TypeError, match="a number"):
        run.set(learning_rate=[1])
