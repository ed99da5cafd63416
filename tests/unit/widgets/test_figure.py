"""A figure sends each view what it needs, and nothing twice."""

from __future__ import annotations

import gzip
import json

import numpy as np
import pytest
from bokeh.models import ColumnDataSource
from bokeh.plotting import figure

from interactive_dl_widgets import Figure, _still
from tests.unit.widgets.told import Page


def plot() -> figure:
    source = ColumnDataSource({"x": [], "y": []}, name="points")
    drawn = figure()
    drawn.line("x", "y", source=source)
    return drawn


def points(count: int) -> dict[str, np.ndarray]:
    return {"x": np.arange(count, dtype=float), "y": np.arange(count) ** 2.0}


def test_nothing_is_sent_before_somebody_looks(page: Page) -> None:
    shown = Figure(plot())
    shown.draw({"points": points(5)})
    assert page.custom() == []
    shown.close()


def test_a_view_that_says_hello_gets_all_that_was_drawn_before(page: Page) -> None:
    shown = Figure(plot())
    shown.draw({"points": points(3)})
    shown.draw({"points": points(5)})
    page.say(shown, type="hello", view="v1")
    ((message, _),) = page.custom("document")
    assert message["view"] == "v1"
    data = _data_of(message)
    assert sorted(key for key, _ in data["entries"]) == ["x", "y"]
    assert all(column["shape"] == [5] for _, column in data["entries"])
    shown.close()


def test_a_second_view_gets_the_same_and_the_first_is_left_alone(page: Page) -> None:
    shown = Figure(plot())
    page.say(shown, type="hello", view="v1")
    shown.draw({"points": points(5)})
    page.say(shown, type="hello", view="v2")
    first, second = page.custom("document")
    assert (first[0]["view"], second[0]["view"]) == ("v1", "v2")
    assert all(column["shape"] == [5] for _, column in _data_of(second[0])["entries"])
    shown.close()


def test_only_new_rows_are_sent(page: Page) -> None:
    shown = Figure(plot())
    page.say(shown, type="hello", view="v1")
    for count in (3, 3, 5):
        shown.draw({"points": points(count)})
    (_, _), (message, buffers) = page.custom("columns")
    assert message["sources"]["points"]["keep"] == 3
    assert [np.frombuffer(one, "<f8").tolist() for one in buffers] == [[3, 4], [9, 16]]
    shown.close()


def test_another_plot_goes_to_every_view(page: Page) -> None:
    shown = Figure(plot())
    page.say(shown, type="hello", view="v1")
    other = plot()
    shown.show(other)
    message, _ = page.custom("document")[-1]
    assert (message["view"], message["root"]) == (None, other.id)
    shown.close()


def test_bokehjs_comes_from_the_kernel_when_a_page_asks(page: Page) -> None:
    shown = Figure(plot())
    page.say(shown, type="library")
    ((_, (zipped,)),) = page.custom("library")
    assert b"BokehJS" in gzip.decompress(zipped) or b"bokehjs" in gzip.decompress(zipped)
    shown.close()


def test_a_source_without_a_name_is_refused() -> None:
    unnamed = figure()
    unnamed.line("x", "y", source=ColumnDataSource({"x": [], "y": []}))
    with pytest.raises(ValueError, match="needs a name="):
        Figure(unnamed)


def test_an_unknown_source_is_an_error(page: Page) -> None:
    shown = Figure(plot())
    with pytest.raises(KeyError, match="pionts"):
        shown.draw({"pionts": points(1)})
    shown.close()


def test_a_still_has_everything_inside_and_asks_nobody(page: Page) -> None:
    shown = Figure(plot())
    shown.draw({"points": points(5)})
    html = _still.html("s1", [("<b>caption</b>", shown)])
    assert 'data-still="s1"' in html
    assert "<b>caption</b>" in html
    assert "http://" not in html
    assert "https://" not in html
    assert html.count("</script>") == 1
    shown.close()


def _data_of(message: dict) -> dict:
    found = []

    def walk(node: object) -> None:
        if isinstance(node, dict):
            if node.get("name") == "ColumnDataSource":
                found.append(node["attributes"]["data"])
            for one in node.values():
                walk(one)
        elif isinstance(node, list):
            for one in node:
                walk(one)

    walk(json.loads(json.dumps(message["doc"])))
    (data,) = found
    return data
