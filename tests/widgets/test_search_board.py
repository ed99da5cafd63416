"""A search of a thousand trials that is watched and steered in a real JupyterLab."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Locator, expect

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
ASKED = "print([type(event.action).__name__ for _, event in search.book.actions])"
LEARNING, BEST, PARALLEL, SCATTER, MATTER = range(5)
GREEN, ORANGE = (0x2E, 0xA6, 0x7A), (0xF0, 0x88, 0x3E)
_SHOWN = """() => [...document.querySelectorAll(".idl-trials-row")]
    .filter((row) => row.style.display !== "none")
    .sort((a, b) => a.getBoundingClientRect().top - b.getBoundingClientRect().top)
    .map((row) => [Number(row.dataset.trial), ...[...row.children].map((cell) => cell.innerText)])
"""


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
        return self._page.locator(f'.idl-trials-row[data-trial="{trial}"]')

    def head(self, column: str) -> Locator:
        return self._page.locator(f'.idl-trials-head [data-column="{column}"]')

    def await_first(self, is_so: Callable[[list], bool]) -> list:
        """Wait until the first row is as it should be."""
        deadline_s = time.monotonic() + 30
        while not ((rows := self.rows()) and is_so(rows[0])):
            assert time.monotonic() < deadline_s, f"the first row is {rows[:1]}"
            self._page.wait_for_timeout(20)
        return rows[0]


def drag(page: Notebook, figure: int, begin: tuple[float, float], end: tuple[float, float]) -> None:
    """Draw a box on a plot, from and to these shares of its width and height."""
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
    marks_become_ranges(page)
    table.head("best").click()
    table.await_first(lambda row: row[3] == "finished")
    select_the_best(table)
    for theme in ("Dark", "Light"):
        page.use_theme(theme)
        page.await_points("rungs", 4, figure=LEARNING)
        page.await_ink(GREEN, 50, figure=LEARNING)
        page.await_ink(ORANGE, 50, figure=BEST)
        page.picture(picture(f"search_board_{theme.lower()}"))
    it_is_live_while_a_cell_runs_and_complete_after_a_reload(page, table)
    a_saved_notebook_has_a_picture(page, server)
    page.run(2)
    asked = ["StopTrial", "Enqueue", "SetRange", "SetConcurrency", "SetTrials"]
    assert page.text(2).strip() == str(asked)


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
    table.head("best").click()
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
    expect(table.row(1005)).to_contain_text("by hand")


def marks_become_ranges(page: Notebook) -> None:
    drag(page, PARALLEL, (0.02, 0.3), (0.1, 0.6))
    page.await_points("brushes", 1, figure=PARALLEL)
    expect(page.page.locator(".idl-trials-count")).to_contain_text(" selected")
    page.button("Make it the range").click()
    newest = page.page.locator(".idl-commands tr").first
    expect(newest).to_contain_text("lr: log_uniform(")
    expect(newest).to_contain_text("log_uniform(1e-05, 0.1) →")
    drag(page, SCATTER, (0.3, 0.3), (0.6, 0.8))
    page.await_points("brushes", 1, figure=SCATTER)
    page.button("Clear").click()
    page.button("Compute").click()
    page.await_points("bars", 5, figure=MATTER)


def it_is_live_while_a_cell_runs_and_complete_after_a_reload(page: Notebook, table: Table) -> None:
    table.head("trial").click()
    table.head("trial").click()
    page.run(1, wait=False)
    newest = table.await_first(lambda row: row[0] >= 1010)
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
    trials = page.page.locator(".idl input[placeholder='no end']").first
    trials.fill("5")
    trials.press("Enter")
    expect(page.page.locator(".idl-header .idl-badge").first).to_have_text("finished")


def a_saved_notebook_has_a_picture(page: Notebook, server: Lab) -> None:
    still = page.page.locator("[data-still] .idl-header")
    expect(still).to_contain_text("finished")
    assert not page.page.locator("[data-still]").is_visible()
    page.save()
    saved = server.read(f"{page.name}").cells[0].outputs
    assert any("best 20 of" in output.data.get("text/html", "") for output in saved)
