"""The login host of a virtual centre, on which these tests run."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from typing import Any

import pytest

from deploy.virtual import NETWORKS_VARIABLE
from deploy.virtual.hosts import set_link


def pytest_configure() -> None:
    if NETWORKS_VARIABLE not in os.environ:
        raise pytest.UsageError(
            "These tests run on the login host of a virtual centre. Type, as root: .venv/bin/python"
            " -m deploy.virtual .venv/bin/python -m pytest tests/deploy"
        )


@pytest.fixture
def until() -> Callable[..., None]:
    """Waits for a condition; fails with its description when it does not come true."""

    def wait(condition: Callable[[], Any], what: str, timeout_s: float = 20.0) -> None:
        deadline_s = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < deadline_s, f"not within {timeout_s:g} s: {what}"
            time.sleep(0.02)

    return wait


@pytest.fixture
def link() -> Callable[..., None]:
    """Takes a node off the network, or puts it back."""
    networks = json.loads(os.environ[NETWORKS_VARIABLE])
    return lambda name, state: set_link(networks[name], state)
