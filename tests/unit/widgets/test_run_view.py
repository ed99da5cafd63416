"""A run's view without a browser: what it sends, asks for, and releases."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import ipywidgets
import numpy as np
import pytest

from interactive_dl.telemetry import events, journal, steering
from interactive_dl.telemetry.run import open_run
from interactive_dl_widgets import RunView
from interactive_dl_widgets._knob import Knob
from interactive_dl_widgets.log_pane import LogPane
from interactive_dl_widgets.testing import FakeRun, Plan
from tests.unit.widgets.told import Page, parts


@pytest.fixture
def run() -> FakeRun:
    """A run that does what the test says."""
    fake = FakeRun(Plan(ranks=2), name="rpv")
    fake.feed(fake.started(), events.StateChanged("running"))
    return fake


@pytest.fixture
def view(page: Page, run: FakeRun) -> Iterator[RunView]:
    shown = RunView(run, raise_errors=True)
    yield shown
    shown.close()


def button(view: RunView, label: str) -> ipywidgets.Button:
    buttons = (one for one in parts(view) if isinstance(one, ipywidgets.Button))
    return next(one for one in buttons if one.description == label)


def words(view: RunView) -> str:
    return "\n".join(one.value for one in parts(view) if isinstance(one, ipywidgets.HTML))


def test_it_says_how_the_run_stands(view: RunView, run: FakeRun) -> None:
    run.feed(run.progress(250), events.RankLost(1, 1, "node-b", 249, "killed by <SIGKILL>"))
    view.draw()
    text = words(view)
    assert "rpv" in text
    assert "step 250 / 500" in text
    assert "50 %" in text
    assert "rank 1 (engine 1 on node-b) after step 249: killed by &lt;SIGKILL&gt;" in text


def test_points_go_to_the_page_as_they_come(view: RunView, run: FakeRun, page: Page) -> None:
    figure = view._plots[0].figure
    page.say(figure, type="hello", view="v")
    for step in range(1, 4):
        run.feed(run.progress(step))
        view.draw()
    sent = [message["sources"]["smooth"] for message, _ in page.custom("columns")]
    assert [one["keep"] for one in sent] == [0, 1, 2]
    assert np.isfinite(figure._columns["smooth"]["y"]).all()


def test_a_button_sends_its_command(view: RunView, run: FakeRun) -> None:
    view.draw()
    button(view, "Stop after epoch").click()
    assert [status.command for status in run.history.commands] == [steering.Stop("epoch")]


def test_a_command_is_listed_before_the_run_has_heard_of_it(
    view: RunView, run: FakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    view.draw()
    with monkeypatch.context() as patch:
        patch.setattr(run, "feed", lambda *happened, engine=0: None)
        button(view, "Stop after epoch").click()
    view.draw()
    assert run.history.commands == ()
    assert "stop after epoch" in words(view)
    assert "pending" in words(view)


def test_a_slider_that_a_person_moves_sets_the_knob_and_waits_for_the_answer(
    view: RunView, run: FakeRun, page: Page
) -> None:
    view.draw()
    knob = next(one for one in parts(view) if isinstance(one, Knob) and one._name == "momentum")
    slider = next(one for one in knob.children if isinstance(one, ipywidgets.FloatSlider))
    page.turn(slider, value=0.5)
    (sent,) = run.history.commands
    assert sent.command == steering.SetKnobs({"momentum": 0.5})
    view.draw()
    assert slider.value == 0.5
    run.feed(events.CommandRefused(sent.id, "not now"))
    view.draw()
    assert slider.value == 0.9
    assert len(run.history.commands) == 1


def test_a_knob_that_somebody_else_has_turned_asks_for_nothing(view: RunView, run: FakeRun) -> None:
    view.draw()
    run.feed(events.CommandSent("x", "you", steering.SetKnobs({"learning_rate": 7.0})))
    run.feed(events.CommandApplied("x", 3, (events.Change("learning_rate", 1e-3, 7.0),)))
    view.draw()
    numbers = [one.value for one in parts(view) if isinstance(one, ipywidgets.FloatText)]
    assert 7.0 in numbers
    assert len(run.history.commands) == 1


def test_a_paused_run_can_be_resumed_and_one_that_is_over_cannot_be_steered(
    view: RunView, run: FakeRun
) -> None:
    run.feed(events.StateChanged("paused"))
    view.draw()
    assert (button(view, "Pause").disabled, button(view, "Resume").disabled) == (True, False)
    run.feed(events.Ended("finished"))
    view.draw()
    buttons = [one for one in parts(view) if isinstance(one, ipywidgets.Button)]
    assert all(one.disabled for one in buttons)


def test_a_run_grows_where_it_has_lost_ranks(view: RunView, run: FakeRun) -> None:
    view.draw()
    assert button(view, "Grow").disabled
    run.feed(events.GroupChanged((0,), ("here",), step=3, reason="lost rank 1"))
    view.draw()
    button(view, "Grow").click()
    assert run.history.commands[-1].command == steering.Grow()
    run.feed(events.GroupChanged((0, 2), ("here", "here"), step=9, reason="engine 2 joined"))
    view.draw()
    assert button(view, "Grow").disabled


def test_what_was_lost_on_the_way_is_said(view: RunView, run: FakeRun) -> None:
    view.draw()
    assert "lost on the way" not in words(view)
    run.feed(events.Dropped(3))
    view.draw()
    assert "3 events were lost on the way" in words(view)


def test_a_line_is_logged_once(view: RunView, run: FakeRun) -> None:
    run.feed(events.LogLine("stdout", "one"))
    view.draw()
    run.feed(events.LogLine("stdout", "one"), events.LogLine("stderr", "two"))
    view.draw()
    log = next(one for one in parts(view) if isinstance(one, LogPane))
    assert log.lines == (("stdout", "one"), ("stdout", "one"), ("stderr", "two"))


def test_an_error_is_in_the_log_and_is_raised_where_tests_want_it(
    view: RunView, run: FakeRun, caplog: pytest.LogCaptureFixture
) -> None:
    run.feed(events.Ended("finished"))
    button(view, "Stop now").click()
    # ipywidgets logs what its callbacks raise.
    assert "is over: finished" in caplog.text
    caplog.clear()
    log = next(one for one in parts(view) if isinstance(one, LogPane))
    assert log.lines[0][0] == "widget"
    assert "Asking to stop after step" in log.lines[0][1]


def test_an_error_while_drawing_is_raised_where_tests_want_it(
    view: RunView, run: FakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "history", None)
    with pytest.raises(AttributeError):
        view.draw()
    monkeypatch.undo()


def test_errors_stay_in_the_log_in_a_notebook(page: Page, run: FakeRun) -> None:
    run.feed(events.Ended("finished"))
    shown = RunView(run)
    button(shown, "Stop now").click()
    log = next(one for one in parts(shown) if isinstance(one, LogPane))
    assert "is over: finished" in log.lines[0][1]
    shown.close()


def test_it_draws_in_a_thread_of_its_own_until_it_is_stopped(view: RunView, run: FakeRun) -> None:
    view.start()
    view.start()
    assert [one.name for one in threading.enumerate()].count("redraw") == 1
    run.feed(run.progress(123))
    view.stop()
    view.stop()
    assert "step 123 / 500" in words(view)
    run.feed(run.progress(124))
    assert run._callbacks == []
    assert "step 123 / 500" in words(view)


def test_a_view_that_was_stopped_starts_again(
    view: RunView, run: FakeRun, eventually: Callable[[Callable[[], bool]], None]
) -> None:
    view.start()
    view.stop()
    view.start()
    run.feed(run.progress(7))
    eventually(lambda: "step 7 / 500" in words(view))


def test_closing_twice_does_no_harm(page: Page, run: FakeRun) -> None:
    shown = RunView(run, raise_errors=True)
    shown.start()
    shown.close()
    shown.close()


def test_a_real_run_is_followed_as_its_journal_grows(
    page: Page, tmp_path: Path, eventually: Callable[[Callable[[], bool]], None]
) -> None:
    fake = FakeRun(Plan(ranks=2), name="rpv")
    writer = journal.Writer.open(journal.path_of(tmp_path, fake.id), fake.id)
    numbers = itertools.count()

    def write(*happened: events.AnyEvent) -> None:
        records = [events.Record(fake.id, 0, next(numbers), 1.0, event) for event in happened]
        writer.append([events.encode(record) for record in records])

    write(fake.started(), fake.progress(1))
    followed = open_run(journal.path_of(tmp_path, fake.id))
    shown = RunView(followed)
    shown.start()
    eventually(lambda: "step 1 / 500" in words(shown))
    write(fake.progress(2))
    eventually(lambda: "step 2 / 500" in words(shown))
    button(shown, "Pause").click()
    log = next(one for one in parts(shown) if isinstance(one, LogPane))
    assert "Asking to pause" in log.lines[0][1]
    shown.close()
    followed.close()
    writer.close()


def test_a_log_pane_that_is_looked_at_later_has_all_lines(page: Page) -> None:
    pane = LogPane()
    pane.append([("stdout", "one")])
    assert page.custom() == []
    page.say(pane, type="hello", view="v")
    pane.append([("stderr", "two")])
    first, second = (message for message, _ in page.custom())
    assert (first["view"], first["lines"]) == ("v", [("stdout", "one")])
    assert ("view" in second, second["lines"]) == (False, [("stderr", "two")])
    pane.close()
