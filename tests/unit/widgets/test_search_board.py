"""A search's board without a browser: what it shows, asks for, and releases."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import ipywidgets
import pytest

from interactive_dl.errors import RecorderUnreachableError
from interactive_dl.search import events as e
from interactive_dl.search.ranges import choice, log_uniform
from interactive_dl.telemetry.events import Ended
from interactive_dl_widgets import SearchBoard
from interactive_dl_widgets.fake_search import FakeSearch, SearchPlan
from interactive_dl_widgets.log_pane import LogPane
from interactive_dl_widgets.search_controls import Limit
from interactive_dl_widgets.search_plots import SHADES
from tests.unit.widgets.searches import ADAM, SGD, add, begun, finish, report
from tests.unit.widgets.told import Page, parts

Eventually = Callable[[Callable[[], bool]], None]
LEARNING, BEST, PARALLEL, SCATTER, MATTER = range(5)


@pytest.fixture
def search() -> FakeSearch:
    """A search that does what the test says."""
    return begun()


@pytest.fixture
def board(page: Page, search: FakeSearch) -> Iterator[SearchBoard]:
    shown = SearchBoard(search, raise_errors=True)
    search.subscribe(shown._noticed)
    yield shown
    shown.close()


def button(board: SearchBoard, label: str) -> ipywidgets.Button:
    buttons = (one for one in parts(board) if isinstance(one, ipywidgets.Button))
    return next(one for one in buttons if one.description == label)


def words(board: SearchBoard) -> str:
    return "\n".join(one.value for one in parts(board) if isinstance(one, ipywidgets.HTML))


def columns(board: SearchBoard, figure: int, source: str) -> Any:
    return board._plots[figure].figure._columns[source]


def click(board: SearchBoard, label: str) -> list[e.AnyAction]:
    """Click, wait until all is sent, draw; the actions that the search was asked for."""
    before = len(board.search.book.actions)
    button(board, label).click()
    board._sender.close()
    board.draw()
    return [event.action for _, event in board.search.book.actions[before:]]


def field(board: SearchBoard, name: str) -> Any:
    return board._form._inputs[name]


def test_it_says_how_the_search_stands(board: SearchBoard, search: FakeSearch) -> None:
    finish(search, ADAM, 0.25)
    search.act(e.SetTrials(9))
    board.draw()
    assert "digits" in words(board)
    assert "1 / 9 trials" in words(board)
    assert "trial <b>0</b>, val_loss, minimized: <b>0.25</b>" in words(board)


def test_rows_go_to_the_page_when_they_change(
    board: SearchBoard, search: FakeSearch, page: Page
) -> None:
    add(search, ADAM)
    board.draw()
    page.say(board.table, type="hello", view="v")
    add(search, SGD)
    board.draw()
    report(search, 1, 0.5)
    board.draw()
    board.draw()
    assert len(page.custom("rows")) == 2
    assert board.table.rows[1][2:5] == [1, 0.5, 0.5]


def test_selected_trials_are_drawn_in_the_colours_of_their_rows(
    board: SearchBoard, search: FakeSearch
) -> None:
    for value in (0.5, 0.4, 0.3):
        finish(search, ADAM, value)
    board.table.selected = [2, 0]
    board.draw()
    assert columns(board, LEARNING, "curve0")["trial"].tolist() == [2, 2]
    assert columns(board, LEARNING, "curve1")["trial"].tolist() == [0, 0]
    assert len(columns(board, LEARNING, "curve2")["trial"]) == 0
    assert set(board.table.colours) == {"0", "2"}
    assert columns(board, LEARNING, "rungs")["x"].tolist() == [1]
    board.table.selected = [0]
    board.draw()
    assert columns(board, LEARNING, "curve1")["trial"].tolist() == [0, 0]


def test_a_selected_trials_curve_grows(board: SearchBoard, search: FakeSearch) -> None:
    add(search, ADAM)
    board.table.selected = [0]
    board.draw()
    assert "no reports yet" in words(board)
    report(search, 0, 0.5)
    board.draw()
    assert "no reports yet" not in words(board)
    report(search, 0, 0.4)
    board.draw()
    assert columns(board, LEARNING, "curve0")["y"].tolist()[:2] == [0.5, 0.4]


def test_another_metric_is_drawn_when_it_is_chosen(
    board: SearchBoard, search: FakeSearch, page: Page
) -> None:
    report(search, add(search, ADAM), 0.25)
    board.draw()
    metric = board._learning._metric
    assert metric.options == ("val_loss", "val_accuracy")
    page.turn(metric, index=1)
    board.draw()
    assert columns(board, LEARNING, "curve0")["y"].tolist()[0] == 0.75


def test_what_has_ended_is_on_every_plot(board: SearchBoard, search: FakeSearch) -> None:
    finish(search, ADAM, 0.5)
    finish(search, SGD, 0.4, "pruned")
    board.draw()
    assert columns(board, BEST, "ended")["state"] == ["finished", "pruned"]
    assert columns(board, BEST, "best")["y"].tolist() == [0.5, 0.5]
    assert columns(board, SCATTER, "trials")["y"].tolist() == [0.5, 0.4]
    lines = [columns(board, PARALLEL, f"shade{at}")["trial"] for at in range(len(SHADES))]
    assert sum(map(len, lines)) == 2 * 7  # five parameters, the value, and a gap


def test_a_box_on_an_axis_selects_trials_and_can_become_the_range(
    board: SearchBoard, search: FakeSearch, page: Page
) -> None:
    for lr in (1e-4, 1e-3, 1e-2):
        finish(search, {**ADAM, "lr": lr}, 0.5)
    board.draw()
    figure = board._plots[PARALLEL].figure
    page.say(figure, type="brush", box=[-0.1, 0.1, 0.4, 0.8])
    board.draw()
    assert board.table.selected == [1, 2]
    assert "2 trials" in words(board)
    assert len(columns(board, PARALLEL, "brushes")["left"]) == 1
    assert len(columns(board, PARALLEL, "faded")["x"]) == 7
    (action,) = click(board, "Make it the range")
    assert action == e.SetRange("lr", log_uniform(0.000398, 0.0158))
    assert button(board, "Make it the range").disabled
    button(board, "Clear").click()
    board.draw()
    assert len(columns(board, PARALLEL, "brushes")["left"]) == 0


def test_a_box_on_the_scatter_marks_the_chosen_axes(
    board: SearchBoard, search: FakeSearch, page: Page
) -> None:
    for layers in (1, 2, 3):
        finish(search, {**ADAM, "layers": layers}, 0.1 * layers)
    board.draw()
    scatter = board._plots[SCATTER]
    page.turn(scatter._x, index=scatter._x.options.index("layers"))
    board.draw()
    page.say(scatter.figure, type="brush", box=[0.5, 2.5, 0.05, 0.15])
    board.draw()
    assert board.table.selected == [0]
    assert [type(one) for one in click(board, "Make it the range")] == [e.SetRange]
    assert search.book.space.dimensions["layers"].high == 2


@pytest.mark.parametrize(
    ("label", "kind"),
    [
        ("Stop", e.StopTrial),
        ("Pause", e.PauseTrial),
        ("Restart", e.Restart),
    ],
)
def test_a_button_asks_for_every_selected_trial_that_it_fits(
    board: SearchBoard, search: FakeSearch, label: str, kind: type
) -> None:
    numbers = [add(search, ADAM), add(search, ADAM)]
    board.draw()
    assert button(board, label).disabled
    board.table.selected = numbers
    board.draw()
    assert click(board, label) == [kind(0), kind(1)]


def test_a_paused_trial_is_resumed(board: SearchBoard, search: FakeSearch) -> None:
    add(search, ADAM)
    search.feed(e.TrialPaused(0))
    board.table.selected = [0]
    board.draw()
    assert button(board, "Pause").disabled
    assert click(board, "Resume") == [e.ResumeTrial(0)]


def test_numbers_are_typed_for_selected_trials(
    board: SearchBoard, search: FakeSearch, page: Page
) -> None:
    add(search, ADAM)
    board.table.selected = [0]
    board.draw()
    page.turn(board._buttons._rate.typed, value="3e-4")
    assert click(board, "Set learning rate") == [e.SetLearningRate(0, 3e-4)]
    assert board._buttons._rate.typed.value == ""
    page.turn(board._buttons._priority.typed, value="5")
    assert click(board, "Set priority") == [e.SetPriority(0, 5)]
    page.turn(board._buttons._rate.typed, value="fast")
    assert click(board, "Set learning rate") == []
    assert "learning_rate is a number, as 0.003 or 3e-3, but got &#x27;fast&#x27;" in words(board)


def test_a_trial_is_promoted_and_demoted(
    board: SearchBoard, search: FakeSearch, page: Page
) -> None:
    finish(search, ADAM, 0.5)
    board.table.selected = [0]
    board.draw()
    assert button(board, "Demote").disabled
    page.turn(board._buttons._promote.typed, value="20")
    assert board._buttons._warm.disabled, "there is no checkpoint"
    (action,) = click(board, "Promote")
    assert action == e.Promote(0, e.Promotion(20), warm=False)
    board.draw()
    assert click(board, "Demote") == [e.StopTrial(1)]


def test_limits_show_what_the_search_has_and_ask_for_what_was_typed(
    board: SearchBoard, search: FakeSearch, page: Page
) -> None:
    search.act(e.SetTrials(9))
    board.draw()
    trials, at_once, budget = (one for one in parts(board) if isinstance(one, Limit))
    assert (trials.typed.value, at_once.typed.value) == ("9", "")
    page.turn(trials.typed, value="12")
    page.turn(at_once.typed, value="2")
    page.turn(budget.typed, value="60.5")
    board._sender.close()
    assert search.book.limits == e.Limits(trials=12, concurrency=2, time_budget_s=60.5)
    page.turn(trials.typed, value="")
    board._sender.close()
    assert search.book.limits.trials is None
    page.turn(trials.typed, value="many")
    assert "trials is a whole number" in words(board)
    board.draw()
    assert trials.typed.value == ""


def test_what_somebody_else_has_set_is_shown_and_asks_for_nothing(
    board: SearchBoard, search: FakeSearch
) -> None:
    board.draw()
    search.act(e.SetTrials(77))
    board.draw()
    assert next(one for one in parts(board) if isinstance(one, Limit)).typed.value == "77"
    assert len(search.book.actions) == 1


def test_the_search_is_stopped_after_a_question(board: SearchBoard, search: FakeSearch) -> None:
    add(search, ADAM)
    board.draw()
    assert click(board, "Stop the search") == []
    assert click(board, "Yes") == [e.StopSearch()]
    assert search.state == "stopped"
    board.draw()
    assert all(button(board, one).disabled for one in ("Stop", "Stop the search", "Set range"))


def test_a_search_that_has_ended_is_opened_again_by_a_trial_more(
    board: SearchBoard, search: FakeSearch
) -> None:
    finish(search, ADAM, 0.5)
    search.feed(Ended("finished", "1 trials"))
    board.table.selected = [0]
    board.draw()
    labels = ("Clone …", "Restart", "Promote", "Add a point …")
    assert not any(button(board, label).disabled for label in labels)
    assert click(board, "Restart") == [e.Restart(0)]
    assert search.state == "running"
    assert not button(board, "Set range").disabled


def test_a_range_is_typed(board: SearchBoard, search: FakeSearch, page: Page) -> None:
    board.draw()
    ranges = board._ranges
    assert (ranges._low.value, ranges._high.value) == ("1e-05", "0.1")
    page.turn(ranges._low, value="1e-7")
    assert click(board, "Set range") == [e.SetRange("lr", log_uniform(1e-7, 0.1))]
    page.turn(ranges._parameter, index=1)
    assert ranges._options.value == "adam, sgd"
    page.turn(ranges._options, value="adam, lion")
    assert click(board, "Set range") == [e.SetRange("optimizer", choice("adam", "lion"))]
    page.turn(ranges._parameter, index=0)
    page.turn(ranges._high, value="1e-9")
    assert click(board, "Set range") == []
    assert "low &lt; high" in words(board)


def test_a_point_is_added_with_a_form(board: SearchBoard, search: FakeSearch, page: Page) -> None:
    board.draw()
    assert not board._form.is_open
    button(board, "Add a point …").click()
    assert board._form.is_open
    page.turn(field(board, "lr"), value="0.5")
    assert "must lie in its range" in words(board)
    assert click(board, "Add") == []
    page.turn(field(board, "lr"), value="0.05")
    assert "idl-problem" not in board._form._problem.value
    (action,) = click(board, "Add")
    assert (type(action), action.params["lr"]) == (e.Enqueue, 0.05)
    assert not board._form.is_open
    assert search.book.trials[0].origin == "person"


def test_a_trial_is_cloned_with_edits_from_its_checkpoint(
    board: SearchBoard, search: FakeSearch, page: Page
) -> None:
    add(search, SGD)
    search.feed(e.TrialCheckpointed(0, 1, "0.keras"))
    board.table.selected = [0]
    board.draw()
    button(board, "Clone …").click()
    row = field(board, "momentum")
    assert row.value == "0.9"
    page.turn(field(board, "optimizer"), index=0)
    shown = [one.layout.display for one in board._form._fields.children]
    assert shown.count("none") == 1
    page.turn(board._form._warm, value=True)
    (action,) = click(board, "Clone")
    assert action == e.Clone(0, {**ADAM, "optimizer": "adam"}, warm=True)
    assert search.book.trials[1].warm


def test_a_form_that_is_opened_again_is_filled_anew(
    board: SearchBoard, search: FakeSearch, page: Page
) -> None:
    add(search, ADAM)
    board.table.selected = [0]
    board.draw()
    button(board, "Add a point …").click()
    page.turn(field(board, "lr"), value="bad")
    button(board, "Cancel").click()
    assert not board._form.is_open
    button(board, "Clone …").click()
    assert field(board, "lr").value == "0.001"
    assert "idl-problem" not in board._form._problem.value


def test_a_refused_action_has_its_reason(board: SearchBoard, search: FakeSearch) -> None:
    add(search, ADAM)
    board.table.selected = [0]
    board.draw()
    search.feed(e.TrialEnded(0, "finished"))  # the board has not drawn it yet
    board._ask([e.PauseTrial(0)])
    board._sender.close()
    board.draw()
    assert "refused" in words(board)
    assert "but trial 0 is finished" in words(board)


def test_an_action_that_does_not_get_there_has_its_reason(
    board: SearchBoard, search: FakeSearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(*_: object, **__: object) -> None:
        raise RecorderUnreachableError("no recorder answers")

    with monkeypatch.context() as patch:
        patch.setattr(search, "act", unreachable)
        board._ask([e.SetTrials(3)])
        board._sender.close()
    board.draw()
    assert "no recorder answers" in words(board)
    assert search.book.actions == []
    assert next(one for one in parts(board) if isinstance(one, LogPane)).lines == ()


def test_an_action_is_listed_before_the_search_has_answered(
    board: SearchBoard, search: FakeSearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered = threading.Event()
    act = search.act
    monkeypatch.setattr(search, "act", lambda *a, **k: (answered.wait(10), act(*a, **k))[1])
    board._ask([e.SetTrials(3)])
    board.draw()
    assert "pending" in words(board)
    answered.set()
    board._sender.close()
    board.draw()
    assert "pending" not in words(board)
    assert "no end → 3" in words(board)


def test_an_error_nobody_expects_is_in_the_log(page: Page, search: FakeSearch) -> None:
    shown = SearchBoard(search)
    search.act = lambda *_, **__: 1 / 0  # type: ignore[method-assign]
    shown._ask([e.SetTrials(3)])
    shown._sender.close()
    log = next(one for one in parts(shown) if isinstance(one, LogPane))
    assert "ZeroDivisionError" in log.lines[0][1]
    assert log.layout.display == "block"
    shown.close()


def test_what_a_trial_has_printed_is_shown_when_asked(
    board: SearchBoard, search: FakeSearch
) -> None:
    finish(search, ADAM, 0.5)
    board.table.selected = [0]
    board.draw()
    button(board, "Output").click()
    log = next(one for one in parts(board) if isinstance(one, LogPane))
    assert log.layout.display == "block"
    assert log.lines[0] == ("engine", "trial 0: 1 lines")
    assert "0.5" in log.lines[1][1]


def test_importance_is_computed_when_asked_and_its_failure_is_said(
    board: SearchBoard, search: FakeSearch
) -> None:
    board.draw()
    button(board, "Compute").click()
    board._importance.close()
    board.draw()
    assert "two finished trials" in words(board)
    finish(search, ADAM, 0.5)
    board.draw()
    button(board, "Compute").click()
    board._importance.close()
    board.draw()
    assert columns(board, MATTER, "bars")["share"].tolist()[0] == 0.5
    assert "by 1 finished trials" in words(board)


def test_importance_is_computed_now_and_then(
    board: SearchBoard, search: FakeSearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    monkeypatch.setattr(
        board._importance, "_compute", lambda: asked.append(len(search.book.trials)) or {"lr": 1.0}
    )
    for _ in range(20):
        finish(search, ADAM, 0.5)
        board.draw()
        board._importance.close()
    assert asked == [8, 12, 18]


def test_it_draws_in_a_thread_of_its_own_until_it_is_stopped(
    board: SearchBoard, search: FakeSearch, eventually: Eventually
) -> None:
    board.start()
    board.start()
    names = [one.name for one in threading.enumerate()]
    assert (names.count("redraw"), names.count("clock")) == (1, 1)
    assert len(search._callbacks) == 2  # the fixture's and its own
    add(search, ADAM)
    eventually(lambda: "1 running" in words(board))
    board.stop()
    board.stop()
    assert len(search._callbacks) == 1


def test_a_search_that_is_started_later_is_followed_then(page: Page) -> None:
    class Waiting(FakeSearch):
        @property
        def state(self) -> str:
            return "running" if self.book.began else "not started"

    search = Waiting(SearchPlan(trials=3))
    shown = SearchBoard(search, raise_errors=True)
    shown.start()
    assert search._callbacks == []
    search.begin()
    shown._tick()
    assert len(search._callbacks) == 1
    shown.stop()
    assert "0 / 3 trials" in words(shown)
    shown.close()


def test_a_picture_has_the_best_trials_and_what_was_done(
    board: SearchBoard, search: FakeSearch
) -> None:
    for value in (0.5, 0.25):
        finish(search, ADAM, value)
    search.act(e.SetTrials(2))
    board.draw()
    said = board._words()
    assert said.index("0.25") < said.index("0.5")
    assert "the best 2 of 2 trials" in said
    assert "let the sampler make 2 trials" in said


def test_an_error_while_drawing_is_raised_where_tests_want_it(
    board: SearchBoard, search: FakeSearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(search, "book", None)
        with pytest.raises(AttributeError):
            board.draw()


def test_thousands_of_trials_are_drawn_at_once_and_then_only_what_changes(
    page: Page,
) -> None:
    search = FakeSearch(SearchPlan(trials=3000)).fill(2900)
    shown = SearchBoard(search, raise_errors=True)
    search.subscribe(shown._noticed)
    shown.draw()
    assert len(shown.table.rows) == len(search.book.trials)
    page.say(shown.table, type="hello", view="v")
    search.turn()
    shown.draw()
    ((_, (rows,)),) = page.custom("rows")
    assert len(rows) < 2000
    shown.close()


def test_a_search_that_is_over_is_drawn_when_it_is_looked_at(
    board: SearchBoard, search: FakeSearch
) -> None:
    finish(search, ADAM, 0.5)
    search.feed(Ended("finished", "1 trials"))
    board.draw()
    assert "finished" in words(board)
    assert button(board, "Stop").disabled


def test_closing_twice_does_no_harm(page: Page, search: FakeSearch) -> None:
    shown = SearchBoard(search, raise_errors=True)
    shown.start()
    shown.close()
    shown.close()
