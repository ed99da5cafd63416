"""The table sends each view what it needs, and nothing twice."""

from __future__ import annotations

import json
import math

from interactive_dl_widgets.trial_table import TrialTable
from interactive_dl_widgets.views.trials import Column
from tests.unit.widgets.told import Page

COLUMNS = (Column("trial", "#", "trial"), Column("state", "state", "state"))


def sent(page: Page, kind: str) -> list[tuple[dict, list]]:
    return [(message, json.loads(buffers[0])) for message, buffers in page.custom(kind)]


def test_a_view_that_says_hello_gets_all_rows_and_others_are_left_alone(page: Page) -> None:
    table = TrialTable()
    table.draw(COLUMNS, [[0, "running"], [1, "queued"]])
    assert page.custom() == []
    page.say(table, type="hello", view="v")
    ((message, rows),) = sent(page, "table")
    assert (message["view"], rows) == ("v", [[0, "running"], [1, "queued"]])
    assert message["columns"][1] == {"name": "state", "title": "state", "kind": "state"}
    table.close()


def test_only_rows_that_have_changed_are_sent(page: Page) -> None:
    table = TrialTable()
    table.draw(COLUMNS, [[0, "running"], [1, "queued"]])
    page.say(table, type="hello", view="v")
    table.draw(COLUMNS, [[0, "running"]])
    table.draw(COLUMNS, [[1, "running"], [0, "running"], [2, "queued"]])
    ((_, rows),) = sent(page, "rows")
    assert rows == [[1, "running"], [2, "queued"]]
    assert table.rows == {0: [0, "running"], 1: [1, "running"], 2: [2, "queued"]}
    table.close()


def test_other_columns_replace_the_table_in_every_view(page: Page) -> None:
    table = TrialTable()
    table.draw(COLUMNS, [[0, "running"]])
    page.say(table, type="hello", view="v")
    table.draw(COLUMNS[:1], [[5]])
    message, rows = sent(page, "table")[-1]
    assert (message["view"], rows) == (None, [[5]])
    table.close()


def test_rows_are_json_whatever_is_in_them(page: Page) -> None:
    table = TrialTable()
    page.say(table, type="hello", view="v")
    table.draw(COLUMNS, [[0, math.nan]])
    assert sent(page, "table")[-1][1] == [[0, None]]
    table.close()


def test_a_selection_is_the_kernels_to_read(page: Page) -> None:
    table = TrialTable()
    page.turn(table, selected=[3, 1], sort=["lr", "asc"], words="adam")
    assert (table.selected, table.sort, table.words) == ([3, 1], ["lr", "asc"], "adam")
    table.close()
