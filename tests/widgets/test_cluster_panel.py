"""A real cluster, started, mended and stopped from its panel."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Locator, expect

from tests.widgets.browser import Notebook
from tests.widgets.conftest import Open

PANEL = """
    import os, signal
    from interactive_dl.cluster import Cluster
    from interactive_dl_widgets import ClusterPanel

    cluster = Cluster(2)
    panel = ClusterPanel(cluster)
    panel
"""
KILL = "os.kill(cluster.engines[1].pid, signal.SIGKILL)"
CLOSE = "panel.close(); cluster.stop()"
_SLOW_MS = 60_000


def state(page: Notebook) -> Locator:
    return page.page.locator(".idl-header .idl-badge")


def test_engines_are_started_mended_and_stopped(
    notebook: Open, picture: Callable[[str], Path]
) -> None:
    page = notebook(PANEL, KILL, CLOSE)
    page.run(0)
    try:
        expect(state(page)).to_have_text("stopped")
        page.button("Start").click()
        expect(state(page)).to_have_text("ready", timeout=_SLOW_MS)
        engines = page.page.locator(".idl-engines tr")
        expect(engines).to_have_count(3)
        expect(engines.nth(1)).to_contain_text("GB")
        page.run(1)
        expect(state(page)).to_have_text("degraded")
        expect(engines.nth(2)).to_contain_text("killed by SIGKILL")
        for theme in ("Light", "Dark"):
            page.use_theme(theme)
            page.picture(picture(f"cluster_panel_{theme.lower()}"))
        page.button("Heal").click()
        expect(state(page)).to_have_text("ready", timeout=_SLOW_MS)
        page.button("Stop").click()
        expect(page.page.get_by_text("Stop and lose what the engines have")).to_be_visible()
        page.picture(picture("cluster_panel_question"))
        page.button("Yes").click()
        expect(state(page)).to_have_text("stopped", timeout=_SLOW_MS)
    finally:
        page.run(2)
