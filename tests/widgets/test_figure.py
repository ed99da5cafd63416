"""A figure in a real JupyterLab."""

from __future__ import annotations

from playwright.sync_api import WebSocket, expect

from tests.widgets.conftest import Open

BLUE = (0x4C, 0x8B, 0xF5)
FIGURES = """
    import numpy as np
    from interactive_dl_widgets import Figure, plots

    first = Figure(plots.throughput_plot())
    second = Figure(plots.throughput_plot())

    def draw(figure, count):
        x = np.arange(count, dtype=float)
        figure.draw({"rate": {"x": x, "y": 1000 + 10 * x}})

    draw(first, 10)
    first
"""


def test_what_is_drawn_is_seen_before_and_after_a_reload(notebook: Open) -> None:
    page = notebook(FIGURES, "draw(first, 30)")
    page.run(0)
    page.await_points("rate", 10)
    page.await_ink(BLUE, 100)
    page.run(1)
    page.await_points("rate", 30)
    page.save()
    page.reload()
    page.await_points("rate", 30)
    page.await_ink(BLUE, 100)


def test_a_second_view_has_it_all_and_both_follow(notebook: Open) -> None:
    page = notebook(FIGURES, "first", "draw(first, 20)", "first.close()")
    page.run(0)
    page.run(1)
    page.await_points("rate", 10, figure=1)
    page.run(2)
    page.await_points("rate", 20, figure=0)
    page.await_points("rate", 20, figure=1)
    page.run(3)
    drawn = page.page.locator("canvas")
    expect(page.page.locator("[data-still]").filter(has=drawn)).to_have_count(2)


def test_a_figure_that_is_off_the_page_is_drawn_when_it_is_back(notebook: Open) -> None:
    """A notebook takes cells that are scrolled far away out of the page."""
    page = notebook(FIGURES, "first.show(plots.throughput_plot()); draw(first, 20)")
    page.run(0)
    page.await_points("rate", 10)
    page.page.evaluate(
        """() => {
            const figure = document.querySelector(".idl-figure");
            window.put_back = () => window.parent_of_figure.append(figure);
            window.parent_of_figure = figure.parentElement;
            figure.remove();
        }"""
    )
    page.run(1)
    page.page.wait_for_function("() => !Object.values(window.Bokeh)[0]?.index?.roots?.length")
    page.page.evaluate("() => window.put_back()")
    page.await_points("rate", 20)


def test_bokehjs_comes_once_for_all_figures_of_a_page(notebook: Open) -> None:
    page = notebook(FIGURES, "draw(second, 5); second")
    large: list[int] = []

    def count(frame: str | bytes) -> None:
        if len(frame) > 300_000:
            large.append(len(frame))

    def listen(socket: WebSocket) -> None:
        socket.on("framereceived", count)

    page.page.on("websocket", listen)
    page.reload()
    page.run(0)
    page.run(1)
    page.await_points("rate", 10, figure=0)
    page.await_points("rate", 5, figure=1)
    assert len([one for one in large if one < 400_000]) == 1


def test_a_plot_follows_the_theme(notebook: Open) -> None:
    page = notebook(FIGURES)
    page.run(0)
    page.await_points("rate", 10)
    labels = "() => Object.values(window.Bokeh).flatMap((one) => one?.index?.roots ?? [])[0]"
    colour = f"{labels[6:]}.model.below[0].major_label_text_color"
    light = page.page.evaluate(f"() => {colour}")
    page.use_theme("Dark")
    page.page.wait_for_function(f"light => {colour} !== light", arg=light)
    page.await_ink(BLUE, 100)


def test_a_figure_is_as_wide_as_there_is_room(notebook: Open) -> None:
    page = notebook(FIGURES)
    page.run(0)
    page.await_points("rate", 10)
    width = "() => document.querySelector('.idl-figure').getBoundingClientRect().width"
    plot = "document.querySelector('.idl-figure').firstElementChild.getBoundingClientRect().width"
    wide = page.page.evaluate(width)
    page.page.set_viewport_size({"width": 800, "height": 900})
    page.page.wait_for_function(f"wide => {plot} < wide - 300", arg=wide)
    assert page.page.evaluate(f"() => {plot}") <= page.page.evaluate(width)


def test_a_figure_that_is_closed_leaves_the_page(notebook: Open) -> None:
    page = notebook(FIGURES, "first.close()")
    page.run(0)
    page.await_points("rate", 10)
    page.run(1)
    page.page.wait_for_function("() => !document.querySelector('.idl-figure canvas')")
