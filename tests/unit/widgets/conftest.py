"""Widgets without a browser."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import comm
import pytest
from comm.base_comm import BaseComm
from ipywidgets.widgets import widget as ipywidgets_widget

from tests.unit.widgets.told import Page


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Iterator[Page]:
    """A page that has no browser.

    Every widget of the test must be closed in the end, every thread ended, no callback may raise.
    """
    opened = Page()

    class Comm(BaseComm):
        def publish_msg(self, msg_type: str, **content: Any) -> None:
            buffers = content.get("buffers") or []
            opened.sent.append((msg_type, content.get("data") or {}, buffers))

    monkeypatch.setattr(comm, "create_comm", Comm)
    widgets_before = set(ipywidgets_widget._instances)
    threads_before = set(threading.enumerate())
    yield opened
    assert not caplog.messages, "callbacks that raised"
    leaked = set(ipywidgets_widget._instances) - widgets_before
    names = sorted(type(ipywidgets_widget._instances[one]).__name__ for one in leaked)
    assert not names, "widgets that nobody closed"
    assert not set(threading.enumerate()) - threads_before, "threads that nobody ended"


@pytest.fixture
def eventually() -> Callable[[Callable[[], bool]], None]:
    """Waits for a condition that another thread makes true."""

    def wait(is_so: Callable[[], bool]) -> None:
        deadline_s = time.monotonic() + 10
        tick = threading.Event()
        while not is_so():
            assert time.monotonic() < deadline_s, "not within 10 s"
            tick.wait(0.005)

    return wait
