"""The workstation's hub: two accounts, a real browser, and what one sees of the other."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil
import pytest
from playwright.sync_api import Browser

from tests.deploy.accounts import Account, account
from tests.deploy.hubs import Hub, hub
from tests.widgets import browser
from tests.widgets.browser import Notebook

_ROOT = Path(__file__).resolve().parents[2]
_CONFIGURATIONS = _ROOT / "deploy" / "jupyterhub"
_PICTURES = _ROOT / "build" / "screenshots"
_NEIGHBOUR = str(Path(__file__).with_name("neighbour.py"))

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
# A kernel also takes in, without keys, what its forks print: only from who knows a secret word.
_CLOSED = {"CURVE", "HTTP 404", "NULL PULL"}


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
        settings = anna.home / ".jupyter"
        settings.mkdir()
        (settings / "jupyter_server_config.py").write_text(
            "c.LabApp.expose_app_in_browser = True\n"
        )
        os.chown(settings, anna.uid, anna.uid)
        yield anna, bert


@pytest.fixture
def workstation(shared: Path, people: object) -> Iterator[Hub]:
    with hub(_CONFIGURATIONS / "workstation.py", shared) as started:
        yield started


def test_people_on_a_workstation_work_beside_each_other_and_see_nothing_of_each_other(
    workstation: Hub, people: tuple[Account, Account], chromium: Browser
) -> None:
    anna, bert = people
    hers, his = chromium.new_context(), chromium.new_context()
    workstation.write(anna, "sum.ipynb", _START, _SUM)
    home = workstation.log_in(hers, anna)
    mine = Notebook(hers, workstation.lab(anna), "sum.ipynb")
    mine.run(0)
    mine.run(1)
    told = mine.text(1)
    for rank in (0, 1):
        assert f"rank {rank} of 2, user {anna.uid}, sum 1" in told
    mine.picture(_PICTURES / "hub_workstation.png")

    workstation.refuses(his, bert, anna)
    _nothing_listens_for_others(workstation, anna)
    mpi = [str(port) for one in _of(anna) if _speaks_mpi(one) for _, port in _listening(one)]
    seen = _seen_by(bert, anna, mpi)
    assert set(seen["doors"].values()) == _CLOSED

    workstation.stop_server_and_log_out(home, anna)


def _seen_by(who: Account, other: Account, left_out: Sequence[str]) -> dict[str, Any]:
    """What somebody sees of another one, as ``neighbour.py`` tells it."""
    words = [sys.executable, _NEIGHBOUR, str(other.uid), str(other.home), *left_out]
    done = subprocess.run(
        ["runuser", "-u", who.name, "--", *words],
        cwd=who.home,
        env={**os.environ, "HOME": str(who.home), "PYTHONPATH": str(_ROOT)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=60,
    )
    seen: dict[str, Any] = json.loads(done.stdout)
    assert seen["clusters"] == 0
    assert seen["home"] == "PermissionError"
    return seen


def _of(who: Account) -> list[psutil.Process]:
    return [one for one in psutil.process_iter(["uids"]) if one.info["uids"].real == who.uid]


def _listening(process: psutil.Process) -> set[tuple[str, int]]:
    connections = process.net_connections("inet")
    return {tuple(one.laddr) for one in connections if one.status == psutil.CONN_LISTEN}


def _nothing_listens_for_others(started: Hub, who: Account) -> None:
    """All that we open is for this host alone; Open MPI's own ports are another matter."""
    control = psutil.Process(started.process.pid)
    all_of_it = {control, *control.children(recursive=True), *_of(who)}
    ours = [one for one in all_of_it if not _speaks_mpi(one)]
    assert {address for one in ours for address, _ in _listening(one)} == {"127.0.0.1"}


def _speaks_mpi(process: psutil.Process) -> bool:
    return process.name() == "prterun" or "interactive_dl.engine._process" in process.cmdline()
