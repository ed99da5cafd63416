"""One JupyterLab and one browser for all tests; each test opens notebooks of its own."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.widgets import browser
from tests.widgets.browser import Lab, Notebook

PICTURES = Path(__file__).resolve().parents[2] / "build" / "screenshots"
Open = Callable[..., Notebook]


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with browser.lab(tmp_path_factory.mktemp("lab")) as running:
        yield running


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    with browser.browser() as started:
        yield started


@pytest.fixture
def notebook(server: Lab, chromium: Browser, request: pytest.FixtureRequest) -> Iterator[Open]:
    """Opens a notebook with these cells; nothing may come from elsewhere, nothing may go wrong."""
    opened: list[Notebook] = []
    numbers = itertools.count()

    def open_(*cells: str, theme: str = "Light") -> Notebook:
        name = f"{request.node.name.split('[')[0]}-{next(numbers)}.ipynb"
        server.write(name, *cells)
        opened.append(Notebook(chromium, server, name, theme=theme))
        return opened[-1]

    yield open_
    for one in opened:
        one.close()
    for one in opened:
        assert one.foreign_requests == []
        assert one.errors == []


@pytest.fixture
def picture(request: pytest.FixtureRequest) -> Callable[[str], Path]:
    """Where a screenshot goes."""
    return lambda name: PICTURES / f"{name}.png"
