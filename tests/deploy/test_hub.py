"""The workstation's hub: two accounts, a real browser, and what one sees of the other."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.deploy.accounts import Account, account, where_all_may_enter
from tests.widgets import browser
from tests.widgets.browser import Lab, Notebook

_ROOT = Path(__file__).resolve().parents[2]
_CONFIGURATION = _ROOT / "deploy" / "jupyterhub" / "workstation.py"
_PICTURES = _ROOT / "build" / "screenshots"
_PORT = 8000

_START = """
import interactive_dl as idl
cluster = idl.Cluster(engines=2).start()
"""
_SUM = """
%%px
import os
from mpi4py import MPI
world = MPI.COMM_WORLD
print(f"rank {world.rank} of {world.size}, user {os.getuid()}, sum {world.allreduce(world.rank)}")
"""
_LOOK = """
import interactive_dl as idl, os
print(len(idl.Cluster.list()), "clusters")
try:
    print(os.listdir({home!r}))
except PermissionError as error:
    print(type(error).__name__)
"""


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
        """Log in as a person does."""
        page = context.new_page()
        page.goto(f"{self.url}/hub/login")
        page.get_by_label("Username").fill(who.name)
        page.get_by_label("Password").fill(who.password)
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url(f"{self.url}/user/{who.name}/lab**", timeout=60_000)
        return page

    def lab(self, who: Account) -> Lab:
        """JupyterLab of somebody who has logged in."""
        return Lab(f"{self.url}/user/{who.name}", "", who.home)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser.browser() as started:
        yield started


@pytest.fixture(scope="module")
def shared() -> Iterator[Path]:
    """A folder that all accounts may enter; pytest closes its own to others."""
    with tempfile.TemporaryDirectory(prefix="idl-hub-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.fixture(scope="module")
def people(shared: Path) -> Iterator[tuple[Account, Account]]:
    with ExitStack() as stack:
        anna, bert = (stack.enter_context(account(shared, word)) for word in ("anna", "bert"))
        for one in (anna, bert):
            settings = one.home / ".jupyter"
            settings.mkdir()
            (settings / "jupyter_server_config.py").write_text(
                "c.LabApp.expose_app_in_browser = True\n"
            )
            os.chown(settings, one.uid, one.uid)
        yield anna, bert


@pytest.fixture(scope="module")
def hub(shared: Path, people: object) -> Iterator[Hub]:
    words = [sys.executable, "-m", "jupyterhub", "-f", str(_CONFIGURATION)]
    log = shared / "hub.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            where_all_may_enter(words),
            cwd=shared,
            env={**os.environ, "IDL_HUB_PORT": str(_PORT), "IDL_HUB_STATE": str(shared / "state")},
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


def test_two_people_work_beside_each_other_and_see_nothing_of_each_other(
    hub: Hub, people: tuple[Account, Account], chromium: Browser
) -> None:
    anna, bert = people
    hers, his = chromium.new_context(), chromium.new_context()
    _write(anna, hub, "train.ipynb", _START, _SUM)
    home = hub.log_in(hers, anna)
    mine = Notebook(hers, hub.lab(anna), "train.ipynb")
    mine.run(0)
    mine.run(1)
    told = mine.text(1)
    for rank in (0, 1):
        assert f"rank {rank} of 2, user {anna.uid}, sum 1" in told
    mine.picture(_PICTURES / "hub_train.png")

    hub.log_in(his, bert)
    _write(bert, hub, "look.ipynb", _LOOK.format(home=str(anna.home)))
    look = Notebook(his, hub.lab(bert), "look.ipynb")
    look.run(0)
    assert look.text(0).split("\n")[:2] == ["0 clusters", "PermissionError"]
    foreign = look.page.goto(f"{hub.url}/user/{anna.name}/lab")
    assert foreign is not None
    assert foreign.status in (403, 404)
    _nothing_listens_for_others(hub, anna)

    home.goto(f"{hub.url}/hub/home")
    home.get_by_role("button", name="Stop My Server").click()
    expect(home.get_by_role("button", name="Start My Server")).to_be_visible(timeout=30_000)
    home.locator("#logout").click()
    home.goto(f"{hub.url}/user/{anna.name}/lab")
    expect(home.get_by_label("Password")).to_be_visible()


def _write(who: Account, hub: Hub, name: str, *cells: str) -> None:
    hub.lab(who).write(name, *cells)
    os.chown(who.home / name, who.uid, who.uid)


def _await_login(started: Hub, log: Path) -> None:
    deadline_s = time.monotonic() + 60
    while time.monotonic() < deadline_s and started.process.poll() is None:
        try:
            urllib.request.urlopen(f"{started.url}/hub/login", timeout=5).close()
            return
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.1)
    raise RuntimeError(f"The hub did not start:\n{log.read_text(errors='replace')[-3000:]}")


def _of(who: Account) -> list[psutil.Process]:
    return [one for one in psutil.process_iter(["uids"]) if one.info["uids"].real == who.uid]


def _nothing_listens_for_others(hub: Hub, who: Account) -> None:
    """All that we open is for this host alone; Open MPI's own ports are another matter."""
    control = psutil.Process(hub.process.pid)
    all_of_it = {control, *control.children(recursive=True), *_of(who)}
    ours = [one for one in all_of_it if not _speaks_mpi(one)]
    connections = [one for process in ours for one in process.net_connections("inet")]
    listening = {one.laddr.ip for one in connections if one.status == psutil.CONN_LISTEN}
    assert listening == {"127.0.0.1"}


def _speaks_mpi(process: psutil.Process) -> bool:
    return process.name() == "prterun" or "interactive_dl.engine._process" in process.cmdline()
