"""What an engine's kernel tells of requests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from ipyparallel.engine.kernel import IPythonParallelKernel

from interactive_dl.engine._kernel import Kernel
from interactive_dl.telemetry.requests import METADATA_KEY

Told = Callable[..., list[str]]


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Told:
    """Of which of some states a kernel tells while it is busy with a request."""

    def tell(request: dict[str, Any], *states: str) -> list[str]:
        sent: list[str] = []
        monkeypatch.setattr(
            IPythonParallelKernel,
            "_publish_status",
            lambda kernel, state, *rest: sent.append(state),
        )
        monkeypatch.setattr(Kernel, "get_parent", lambda kernel, channel: request)
        for state in states:
            Kernel.__new__(Kernel)._publish_status(state, "shell")
        return sent

    return tell


@pytest.mark.parametrize("said", [{METADATA_KEY: {"is_heard": True}}, {}])
def test_that_it_is_busy_is_told(told: Told, said: dict[str, Any]) -> None:
    assert told({"metadata": said}, "busy", "idle") == ["busy", "idle"]


def test_it_is_not_told_where_nobody_hears(told: Told) -> None:
    said = {METADATA_KEY: {"is_heard": False}}
    assert not told({"metadata": said}, "busy", "idle")


def test_before_any_request_it_tells_that_it_starts(told: Told) -> None:
    assert told({}, "starting") == ["starting"]
