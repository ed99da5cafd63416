"""Hubs, and people who log in, each with a browser of their own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import BrowserContext, Page, expect

from tests.deploy.accounts import Account
from tests.widgets.browser import Lab

_PORT = 8000


@dataclass(frozen=True)
class Hub:
    """A running hub.

    Attributes:
        url: where people log in.
        process: the hub's.
    """

    url: str
    process: subprocess.Popen[bytes]

    def log_in(self, context: BrowserContext, who: Account) -> Page:
        """Log in as a person does, and wait for one's JupyterLab."""
        page = context.new_page()
        page.goto(f"{self.url}/hub/login")
        _fill_in(page, who)
        page.wait_for_url(f"{self.url}/user/{who.name}/lab**", timeout=120_000)
        return page

    def refuses(self, context: BrowserContext, who: Account, other: Account) -> None:
        """Somebody logs in and is not let into another's JupyterLab."""
        page = context.new_page()
        page.goto(f"{self.url}/hub/login?next=%2Fuser%2F{other.name}%2Flab")
        _fill_in(page, who)
        expect(page.get_by_role("heading", name=re.compile("^403 :"))).to_be_visible()
        page.close()

    def lab(self, who: Account) -> Lab:
        """JupyterLab of somebody who has logged in."""
        return Lab(f"{self.url}/user/{who.name}", "", who.home)

    def write(self, who: Account, name: str, *cells: str) -> None:
        """Put a notebook into somebody's home."""
        self.lab(who).write(name, *cells)
        os.chown(who.home / name, who.uid, who.uid)

    def stop_server_and_log_out(self, page: Page, who: Account) -> None:
        """Both with the buttons of the hub's page; then a password is needed again."""
        page.goto(f"{self.url}/hub/home")
        page.get_by_role("button", name="Stop My Server").click()
        expect(page.get_by_role("button", name="Start My Server")).to_be_visible(timeout=30_000)
        page.locator("#logout").click()
        page.goto(f"{self.url}/user/{who.name}/lab")
        expect(page.get_by_label("Password")).to_be_visible()


@contextmanager
def hub(configuration: Path, folder: Path) -> Iterator[Hub]:
    """A hub with this configuration; what it stores goes into the folder."""
    log = folder / "hub.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "jupyterhub", "-f", str(configuration)],
            cwd=folder,
            env={**os.environ, "IDL_HUB_PORT": str(_PORT), "IDL_HUB_STATE": str(folder / "state")},
            stdout=output,
            stderr=output,
        )
    started = Hub(f"http://127.0.0.1:{_PORT}", process)
    try:
        _await_login(started, log)
        yield started
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def _fill_in(page: Page, who: Account) -> None:
    page.get_by_label("Username").fill(who.name)
    page.get_by_label("Password").fill(who.password)
    page.get_by_role("button", name="Sign in").click()


def _await_login(started: Hub, log: Path) -> None:
    deadline_s = time.monotonic() + 60
    while time.monotonic() < deadline_s and started.process.poll() is None:
        try:
            urllib.request.urlopen(f"{started.url}/hub/login", timeout=5).close()
            return
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.1)
    raise RuntimeError(f"The hub did not start:\n{log.read_text(errors='replace')[-3000:]}")
