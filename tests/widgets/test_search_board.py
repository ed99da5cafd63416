"""A search of a thousand trials that is watched and steered in a real JupyterLab."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import msgspec
from playwright.sync_api import Locator, expect

from interactive_dl.search import events as e
from tests.widgets.browser import Lab, Notebook
from tests.widgets.conftest import Open

TRIALS = 1000
SEARCH = f"""
    from interactive_dl_widgets import SearchBoard
    from interactive_dl_widgets.fake_search import FakeSearch, SearchPlan

    plan = SearchPlan(trials=None, step_s=0.2, crash_rate=0, failure_rate=0)
    search = FakeSearch(plan).fill({TRIALS})
    board = SearchBoard(search)
    board
"""
UNTIL_THREE_MAY_RUN = """
    import time

    search.start()
    while search.book.limits.concurrency != 3:
        time.sleep(0.01)
"""
ASKED = """
    import msgspec

    actions = [event.action for _, event in search.book.actions]
    print(msgspec.json.encode(actions).decode())
"""
FINISHED, STOPPED, EDITED, ADDED = 586, 1003, 1004, 1005
ONE = {"Restart", "Clone …", "Output", "Promote"}
WAITS = {"Stop", "Pause", "Set priority"}
OF_TRIALS = (*WAITS, "Resume", "Set learning rate", *ONE, "Demote")
LEARNING, BEST, PARALLEL, SCATTER, MATTER = range(5)
ORANGE = (0xF0, 0x88, 0x3E)
_SHOWN = """() => [...document.querySelectorAll(".idl-trials-row")]
    .filter((row) => row.style.display !== "none")
    .sort((a, b) => a.getBoundingClientRect().top - b.getBoundingClientRect().top)
    .map((row) => [Number(row.dataset.trial), ...[...row.children].map((cell) => cell.innerText)])
"""
_ARE_ENABLED = """([known, wanted]) => {
    const buttons = [...document.querySelectorAll(".idl button:not(:disabled)")];
    const all = buttons.map((one) => one.textContent.trim());
    const labels = all.filter((one) => known.includes(one));
    return JSON.stringify(labels.sort()) === JSON.stringify(wanted);
}"""


class Table:
    """The table of trials on a page."""

    def __init__(self, notebook: Notebook) -> None:
        self._page = notebook.page
        self.words = self._page.locator(".idl-trials-bar input")
        self.count = self._page.locator(".idl-trials-count")
        self.scroll = self._page.locator(".idl-trials-scroll")

    def rows(self) -> list[list]:
        """Trial and cells of the rows that are in the page, from top to bottom."""
        return self._page.evaluate(_SHOWN)

    def row(self, trial: int) -> Locator:
        return self._page.locator(f'.idl-trials-row[data-trial="{trial}"]:visible')

    def head(self, column: str) -> Locator:
        return self._page.locator(f'.idl-trials-head [data-column="{column}"]')

    def colour(self, trial: int) -> tuple[int, int, int]:
        """Of a selected trial's curve, as its row says."""
        mark = self.row(trial).locator("i").first
        expect(mark).to_have_css("background-color", re.compile(r"rgb\("))
        style = mark.evaluate("mark => getComputedStyle(mark).backgroundColor")
        red, green, blue = map(int, re.findall(r"\d+", style))
        return red, green, blue

    def await_first(self, is_so: Callable[[list], bool]) -> list:
        """Wait until the first row is as it should be."""
        deadline_s = time.monotonic() + 30
        while not ((rows := self.rows()) and is_so(rows[0])):
            assert time.monotonic() < deadline_s, f"the first row is {rows[:1]}"
            self._page.wait_for_timeout(20)
        return rows[0]


def pick(table: Table, trial: int) -> None:
    """Select one trial, wherever it is."""
    table.words.fill(f"#{trial}")
    expect(table.count).to_have_text(re.compile(r"^1 of"))
    table.row(trial).click()
    expect(table.row(trial)).to_have_attribute("aria-selected", "true")
    expect(table.count).to_contain_text("1 selected")
    table.words.fill("")


def await_enabled(page: Notebook, labels: set[str]) -> None:
    """Wait until these of the buttons for trials can be clicked, and no others."""
    page.page.wait_for_function(_ARE_ENABLED, arg=[sorted(OF_TRIALS), sorted(labels)])


def enter(page: Notebook, label: str, typed: str) -> None:
    """Type into the field beside a button, and click that."""
    page.page.locator(".idl-valued").filter(has_text=label).locator("input").fill(typed)
    page.button(label).click()


def mark(page: Notebook, figure: int, begin: tuple[float, float], end: tuple[float, float]) -> None:
    """Draw a box on a plot, from and to these shares of its width and height."""
    deadline_s = time.monotonic() + 30
    while page.points("brushes", figure) < 1:
        assert time.monotonic() < deadline_s, f"no box on figure {figure}"
        drag(page, figure, begin, end)
        with suppress(AssertionError):  # where 300 ms pass before it moves, it is no drag to Bokeh
            page.await_points("brushes", 1, figure=figure, timeout_s=5)


def drag(page: Notebook, figure: int, begin: tuple[float, float], end: tuple[float, float]) -> None:
    """Press the mouse button on a plot, move, and let go."""
    plot = page.page.locator(".idl-figure").nth(figure)
    plot.scroll_into_view_if_needed()
    box = plot.bounding_box()
    assert box is not None
    corners = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in (begin, end)]
    page.page.mouse.move(*corners[0])
    page.page.mouse.down()
    page.page.mouse.move(*corners[1], steps=4)
    page.page.mouse.up()


def test_a_thousand_trials_are_watched_and_steered(
    notebook: Open, server: Lab, picture: Callable[[str], Path]
) -> None:
    page = notebook(SEARCH, UNTIL_THREE_MAY_RUN, ASKED)
    page.page.set_viewport_size({"width": 1280, "height": 1900})
    page.run(0)
    table = Table(page)
    expect(table.count).to_have_text("1004 of 1004")
    rows_are_few_whatever_is_scrolled_to(table)
    columns_sort_and_words_filter(table)
    selected_trials_are_drawn_and_stay_selected(page, table)
    buttons_and_forms_ask_the_search(page, table)
    trials_are_paused_and_edited(page, table)
    trials_are_tried_again(page, table)
    the_best_one_is_promoted_and_demoted(page, table)
    marks_become_ranges(page)
    table.head("value").click()
    table.await_first(lambda row: row[3] == "finished")
    colour = table.colour(select_the_best(table)[2])
    for theme in ("Dark", "Light"):
        page.use_theme(theme)
        page.await_points("rungs", 4, figure=LEARNING)
        page.await_ink(colour, 50, figure=LEARNING)
        page.await_ink(ORANGE, 50, figure=BEST)
        page.picture(picture(f"search_board_{theme.lower()}"))
    it_is_live_while_a_cell_runs_and_complete_after_a_reload(page, table)
    it_is_stopped_after_a_question(page)
    a_saved_notebook_has_a_picture(page, server)
    page.run(2)
    was_asked(msgspec.json.decode(page.text(2), type=list[e.AnyAction]))


def was_asked(actions: list[e.AnyAction]) -> None:
    """Every click has arrived at the search, in order, with what was typed."""
    added = {"lr": 0.002, "optimizer": "sgd", "momentum": 0.495, "dropout": 0.3, "layers": 3}
    (best,) = {one.params["dropout"] for one in actions if isinstance(one, e.Clone)}
    cloned = {"optimizer": "adam", "dropout": best, "layers": 4, "batch_size": 64}
    marked = [one for one in actions if isinstance(one, e.SetRange)]
    assert [one.parameter for one in marked] == ["lr"]
    assert actions == [
        e.StopTrial(STOPPED),
        e.Enqueue({**added, "batch_size": 64}),
        e.PauseTrial(EDITED),
        e.ResumeTrial(EDITED),
        e.SetPriority(EDITED, 3),
        e.SetLearningRate(ADDED, 0.0005),
        e.Restart(STOPPED),
        e.Clone(FINISHED, {**cloned, "lr": 0.003}, warm=False),
        e.Clone(FINISHED, {**cloned, "lr": 0.004}, warm=True),
        e.Promote(FINISHED, e.Promotion(40), warm=True),
        e.StopTrial(1009),
        e.Promote(FINISHED, e.Promotion(50), warm=False),
        e.StopTrial(1010),
        *marked,
        e.SetConcurrency(3),
        e.SetTrials(5000),
        e.SetTimeBudget(86400),
        e.StopSearch(),
    ]


def rows_are_few_whatever_is_scrolled_to(table: Table) -> None:
    assert len(table.rows()) < 40
    newest = table.await_first(lambda row: row[0] == 1003)
    assert newest[3] == "running"
    table.scroll.evaluate("element => { element.scrollTop = element.scrollHeight }")
    table.await_first(lambda row: row[0] < 40)
    assert table.rows()[-1][0] == 0
    assert len(table.rows()) < 40
    table.scroll.evaluate("element => { element.scrollTop = 0 }")


def columns_sort_and_words_filter(table: Table) -> None:
    table.head("value").click()
    table.await_first(lambda row: row[3] == "finished")
    values = [float(row[5]) for row in table.rows()]
    assert values == sorted(values)
    table.words.fill("optimizer=sgd lr<1e-3 dropout>0.3")
    table.await_first(lambda row: "sgd" in row)
    assert all(float(row[7]) < 1e-3 and float(row[9]) > 0.3 for row in table.rows())
    table.words.fill("")
    table._page.get_by_role("button", name="finished").click()
    expect(table.count).not_to_contain_text("1004 of")
    assert {row[3] for row in table.rows()} == {"finished"}
    table._page.get_by_role("button", name="finished").click()
    expect(table.count).to_contain_text("1004 of")


def select_the_best(table: Table) -> list[int]:
    """Select the three best trials; the table is sorted by what it is judged by."""
    best = [row[0] for row in table.rows()[:3]]
    table.row(best[0]).click()
    table.row(best[2]).click(modifiers=["Shift"])
    expect(table.count).to_contain_text("3 selected")
    return best


def selected_trials_are_drawn_and_stay_selected(page: Notebook, table: Table) -> None:
    best = select_the_best(table)
    for slot in range(3):
        page.await_points(f"curve{slot}", 27, figure=LEARNING)
    page.await_points("rungs", 4, figure=LEARNING)
    page.await_points("chosen", 3, figure=SCATTER)
    table.head("trial").click()
    table.await_first(lambda row: row[0] == 0)
    expect(table.count).to_contain_text("3 selected")
    table.words.fill(f"#{best[0]}")
    expect(table.row(best[0])).to_have_attribute("aria-selected", "true")
    table.words.fill("")


def buttons_and_forms_ask_the_search(page: Notebook, table: Table) -> None:
    table.head("trial").click()
    running = table.await_first(lambda row: row[0] == 1003)
    table.row(running[0]).click()
    page.button("Stop").click()
    expect(table.row(running[0])).to_contain_text("stopped")
    newest = page.page.locator(".idl-commands tr").first
    expect(newest).to_contain_text("stop trial 1003")
    expect(newest).to_contain_text("applied")
    expect(page.button("Stop")).to_be_disabled()

    page.button("Add a point …").click()
    lr = page.page.locator(".idl-form input[type=text]").first
    lr.fill("7")
    expect(page.page.locator(".idl-form .idl-problem")).to_contain_text("must lie in its range")
    lr.fill("0.002")
    expect(page.page.locator(".idl-form .idl-problem")).to_have_count(0)
    page.button("Add").click()
    expect(newest).to_contain_text("add lr=0.002")
    expect(table.row(ADDED)).to_contain_text("by hand")


def trials_are_paused_and_edited(page: Notebook, table: Table) -> None:
    newest, problem = page.page.locator(".idl-commands tr").first, page.page.locator(".idl-problem")
    pick(table, EDITED)
    await_enabled(page, WAITS | ONE | {"Set learning rate"})
    page.button("Pause").click()
    expect(table.row(EDITED)).to_contain_text("paused")
    await_enabled(page, WAITS - {"Pause"} | ONE | {"Resume"})
    page.button("Resume").click()
    expect(table.row(EDITED)).to_contain_text("queued")
    await_enabled(page, WAITS | ONE)
    enter(page, "Set priority", "3")
    expect(newest).to_contain_text("0 → 3")
    expect(table.row(EDITED)).to_contain_text("priority 3")

    pick(table, ADDED)
    enter(page, "Set learning rate", "fast")
    expect(problem).to_have_text("learning_rate is a number, as 0.003 or 3e-3, but got 'fast'.")
    enter(page, "Set learning rate", "5e-4")
    expect(newest).to_contain_text("– → 0.0005")
    expect(problem).to_have_count(0)
    expect(table.row(ADDED)).to_contain_text("learning rate 0.0005")


def trials_are_tried_again(page: Notebook, table: Table) -> None:
    pick(table, STOPPED)
    await_enabled(page, ONE)
    page.button("Restart").click()
    expect(table.row(1006)).to_contain_text("clone of 1003")

    pick(table, FINISHED)
    for number, lr, is_warm in ((1007, "0.003", False), (1008, "0.004", True)):
        page.button("Clone …").click()
        form = page.page.locator(".idl-form")
        fields = form.locator("input[type=text]")
        fields.first.fill(lr)
        fields.nth(2).fill("4")
        form.get_by_text("from its last checkpoint").set_checked(is_warm)
        page.button("Clone").click()
        expect(form).to_be_hidden()
        clone = "clone of 586, warm" if is_warm else "clone of 586"
        expect(table.row(number).locator("span").last).to_have_text(clone)


def the_best_one_is_promoted_and_demoted(page: Notebook, table: Table) -> None:
    await_enabled(page, ONE)
    for number, epochs, is_warm in ((1009, "40", True), (1010, "50", False)):
        warm = page.page.locator(".idl-card").get_by_label("from its last checkpoint").first
        warm.set_checked(is_warm)
        enter(page, "Promote", epochs)
        expect(table.row(number)).to_contain_text("running")
        expect(table.row(number)).to_contain_text("0, 1, 2, 3")
        await_enabled(page, ONE | {"Demote"})
        page.button("Demote").click()
        expect(table.row(number)).to_contain_text("stopped by hand")
        await_enabled(page, ONE)


def marks_become_ranges(page: Notebook) -> None:
    mark(page, PARALLEL, (0.02, 0.3), (0.1, 0.6))
    expect(page.page.locator(".idl-trials-count")).to_contain_text(" selected")
    page.button("Make it the range").click()
    newest = page.page.locator(".idl-commands tr").first
    expect(newest).to_contain_text("lr: log_uniform(")
    expect(newest).to_contain_text("log_uniform(1e-05, 0.1) →")
    mark(page, SCATTER, (0.3, 0.3), (0.6, 0.8))
    page.button("Clear").click()
    page.button("Compute").click()
    page.await_points("bars", 5, figure=MATTER)


def it_is_live_while_a_cell_runs_and_complete_after_a_reload(page: Notebook, table: Table) -> None:
    table.head("trial").click()
    table.head("trial").click()
    page.run(1, wait=False)
    newest = table.await_first(lambda row: row[0] >= 1015)
    expect(page.prompt(1)).to_have_text("[*]:")
    at_once = page.page.locator(".idl input[placeholder='engines']")
    at_once.fill("3")
    at_once.press("Enter")
    page.await_cell(1)
    page.page.wait_for_selector("[data-still] .idl-cell", state="attached")
    page.save()
    page.reload()
    page.page.set_viewport_size({"width": 1280, "height": 1900})
    newest = table.await_first(lambda row: row[0] > newest[0])
    page.await_points("ended", TRIALS, figure=BEST)
    page.await_points("trials", TRIALS, figure=SCATTER)
    table.await_first(lambda row: row[0] > newest[0] + 2)
    for limit, typed in (("no end", "5000"), ("no limit", "86400")):
        field = page.page.locator(f".idl input[placeholder='{limit}']")
        field.fill(typed)
        field.press("Enter")
    expect(page.page.locator(".idl-commands tr").first).to_contain_text("no end → 86400")


def it_is_stopped_after_a_question(page: Notebook) -> None:
    state = page.page.locator(".idl-header .idl-badge").first
    page.button("Stop the search").click()
    page.button("No").click()
    expect(state).to_have_text("running")
    page.button("Stop the search").click()
    page.button("Yes").click()
    expect(state).to_have_text("stopped")
    await_enabled(page, {"Restart"})  # three are selected
    for label in ("Stop the search", "Set range"):
        expect(page.button(label)).to_be_disabled()


def a_saved_notebook_has_a_picture(page: Notebook, server: Lab) -> None:
    still = page.page.locator("[data-still] .idl-header")
    expect(still).to_contain_text("stopped")
    assert not page.page.locator("[data-still]").is_visible()
    page.save()
    saved = server.read(f"{page.name}").cells[0].outputs
    assert any("best 20 of" in output.data.get("text/html", "") for output in saved)
