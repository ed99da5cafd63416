"""A run that is watched and steered in a real JupyterLab."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nbconvert
from playwright.sync_api import Browser, expect

from tests.widgets.browser import Lab, Notebook
from tests.widgets.conftest import Open

BLUE, RED = (0x4C, 0x8B, 0xF5), (0xE5, 0x53, 0x4B)
RUN = """
    import time
    from interactive_dl.telemetry import events
    from interactive_dl_widgets import RunView
    from interactive_dl_widgets.testing import FakeRun, Plan

    plan = Plan(ranks=4, epochs=40, steps_per_epoch=50, step_s=0.03, slow_rank=2)
    run = FakeRun(plan, name="rpv").start()
    view = RunView(run)
    view
"""
CURVES, THROUGHPUT, HEAT_MAP, PHASES = range(4)


def state(page: Notebook) -> object:
    return expect(page.page.locator(".idl-header .idl-badge").first)


def test_points_arrive_while_the_run_goes_on_and_survive_a_reload(
    notebook: Open, server: Lab
) -> None:
    name = "test_points_arrive_while_the_run_goes_on_and_survive_a_reload"
    page = notebook(RUN)
    page.run(0)
    page.await_points("smooth", 20)
    before = page.points("smooth")
    page.await_points("smooth", before + 20)
    page.await_points("rate", before, figure=THROUGHPUT)
    page.await_points("cells", 4 * 20, figure=HEAT_MAP)  # it has fewer columns than steps
    page.await_points("bars", 4, figure=PHASES)
    page.page.wait_for_selector("[data-still] .idl-cell", state="attached")
    page.save()
    (saved,) = server.read(f"{name}-0.ipynb").cells[0].outputs[1:]
    assert "running" in saved.data["text/html"]
    page.reload()
    page.await_points("smooth", before + 20)
    before = page.points("smooth")
    page.await_points("smooth", before + 20)
    page.button("Pause").click()
    state(page).to_have_text("paused")


def test_the_slow_rank_is_red(notebook: Open) -> None:
    page = notebook(RUN.replace("slow_rank=2", "slow_rank=2, slowness=1.6"))
    page.run(0)
    page.await_points("cells", 40, figure=HEAT_MAP)
    page.await_ink(RED, 1000, figure=HEAT_MAP)


def test_buttons_work_while_a_cell_runs(notebook: Open) -> None:
    page = notebook(RUN, 'while run.state != "paused":\n    time.sleep(0.01)')
    page.run(0)
    page.await_points("smooth", 5)
    page.run(1, wait=False)
    expect(page.prompt(1)).to_have_text("[*]:")
    page.button("Pause").click()
    page.await_cell(1)
    state(page).to_have_text("paused")
    page.button("Resume").click()
    state(page).to_have_text("running")


def test_a_slider_changes_the_learning_rate(notebook: Open) -> None:
    page = notebook(RUN, 'print("now", run.values["learning_rate"])')
    page.run(0)
    page.await_points("smooth", 5)
    handle = page.page.locator(".widget-slider .noUi-handle").first
    handle.focus()
    handle.press("ArrowRight")
    row = page.page.locator(".idl-commands tr").first
    expect(row).to_contain_text("applied")
    expect(row).to_contain_text("learning_rate 0.001 →")
    page.run(1)
    changed = float(page.text(1).split()[1])
    assert 1e-3 < changed < 1.1e-3


def test_a_number_out_of_range_is_refused_with_the_reason(notebook: Open) -> None:
    page = notebook(RUN)
    page.run(0)
    page.await_points("smooth", 5)
    number = page.page.locator(".idl input[type=number]").first
    number.fill("-1")
    number.press("Enter")
    row = page.page.locator(".idl-commands tr").first
    expect(row).to_contain_text("refused")
    expect(row).to_contain_text("at least")
    expect(number).to_have_value("0.001")


def test_stop_ends_the_run(notebook: Open) -> None:
    page = notebook(RUN, "run.wait(5); print(run.state, run._thread.is_alive())")
    page.run(0)
    page.await_points("smooth", 5)
    page.button("Stop now").click()
    state(page).to_have_text("stopped")
    page.run(1)
    assert page.text(1).strip() == "stopped False"
    expect(page.button("Pause")).to_be_disabled()


def test_a_saved_notebook_shows_the_final_plots_without_a_kernel_or_a_network(
    notebook: Open, server: Lab, chromium: Browser, tmp_path: Path, picture: Callable[[str], Path]
) -> None:
    page = notebook(RUN)
    page.run(0)
    page.await_points("smooth", 60)
    page.button("Stop now").click()
    state(page).to_have_text("stopped")
    page.page.wait_for_selector("[data-still] .idl-cell", state="attached")
    assert not page.page.locator("[data-still]").is_visible()
    page.save()
    saved = server.read(
        "test_a_saved_notebook_shows_the_final_plots_without_a_kernel_or_a_network-0.ipynb"
    )
    file = tmp_path / "saved.html"
    file.write_text(nbconvert.HTMLExporter().from_notebook_node(saved)[0])

    context = chromium.new_context(offline=True, viewport={"width": 1200, "height": 1000})
    still = context.new_page()
    still.goto(file.as_uri(), wait_until="domcontentloaded")
    expect(still.locator("[data-still] .idl-header")).to_contain_text("stopped")
    still.wait_for_function(
        "() => new Set(Object.values(window.Bokeh ?? {})"
        ".flatMap((one) => one?.index?.roots ?? []).map((view) => view.model.document)"
        ".filter((document) => document.is_idle)).size === 4"
    )
    still.screenshot(path=picture("saved_notebook"))
    inked = Notebook.inked
    assert inked(_Just(still), BLUE, CURVES) > 100
    assert inked(_Just(still), BLUE, PHASES) > 1000
    context.close()


class _Just:
    """A page that is no notebook."""

    def __init__(self, page: object) -> None:
        self.page = page


def test_both_themes_show_everything(notebook: Open, picture: Callable[[str], Path]) -> None:
    lost = """
        run.feed(
            events.RankLost(3, 3, "node-b", 70, "killed by SIGKILL"),
            events.GroupChanged((0, 1, 2), ("a", "b", "a"), 70, "lost rank 3"),
        )
    """
    page = notebook(RUN, lost)
    page.run(0)
    page.run(1)
    expect(page.page.locator(".idl-loss")).to_contain_text("killed by SIGKILL")
    page.await_points("validation", 1)
    page.button("Evaluate").click()
    page.await_points("evaluated", 1)
    page.button("Checkpoint").click()
    page.button("Grow").click()
    expect(page.page.locator(".idl-commands .idl-good")).to_have_count(3)
    expect(page.page.locator(".idl-facts").first).to_contain_text("checkpoint at step")
    for theme in ("Light", "Dark"):
        page.use_theme(theme)
        page.await_ink(BLUE, 100, figure=CURVES)
        page.picture(picture(f"run_view_{theme.lower()}"))


def test_a_view_that_is_closed_leaves_nothing_but_a_picture(notebook: Open) -> None:
    page = notebook(
        RUN,
        """
        import threading
        from ipywidgets.widgets import widget
        view.close()
        print([one.name for one in threading.enumerate() if one.name == "redraw"])
        print(len(widget._instances))
        """,
    )
    page.run(0)
    page.await_points("smooth", 5)
    page.run(1)
    assert page.text(1).split() == ["[]", "0"]
    page.page.wait_for_function("() => !document.querySelector('.jupyter-widgets.idl')")
    page.page.wait_for_selector("[data-still] canvas")
