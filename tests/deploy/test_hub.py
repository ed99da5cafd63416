"""The hubs: people with accounts, a real browser, and what one sees of the other."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil
import pytest
from playwright.sync_api import Browser, expect

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
# With four CPUs each they get nodes of their own beside the notebook's.
_START_ON_NODES = """
import interactive_dl as idl
cluster = idl.Cluster("slurm", nodes=2, cpus_per_engine=4, walltime_min=10).start()
print(cluster.state)
"""
_TRAIN = """
%%px --noblock
import keras
import numpy as np
from interactive_dl import data, engine

group = engine.init(seed=1)
x = np.random.default_rng(0).random((2000, 8)).astype("float32")
train = data.from_arrays(x, x.mean(axis=1)).shard(group).batch(32)
model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4), keras.layers.Dense(1)])
model.compile(engine.distribute(keras.optimizers.Adam(1e-3)), "mse")
model.fit(train, epochs=100_000, verbose=0, callbacks=engine.callbacks("live"))
"""
_VIEW = """
import time
from interactive_dl_widgets import RunView

training = _
while "live" not in [one.name for one in cluster.runs.summaries()]:
    if training.ready():
        training.get()
    time.sleep(0.1)
run = cluster.runs["live"]
view = RunView(run)
view
"""
_END = """
def told():
    import os, socket
    hubs = [name for name in os.environ if name.startswith(("JUPYTER", "CONFIGPROXY"))]
    return socket.gethostname(), os.getuid(), hubs

training.get()
print(run.state, *cluster.client[:].apply_sync(told))
view.close()
cluster.stop()
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


@pytest.fixture
def centre(shared: Path, people: tuple[Account, Account]) -> Iterator[Hub]:
    """A hub as a site sets it up, whose people have a share in its nodes."""
    site = shared / "hub_of_the_site.py"
    site.write_text(
        f"load_subconfig({str(_CONFIGURATIONS / 'centre.py')!r})\n"
        "c.SlurmSpawner.req_runtime = '20'\n"
        "c.SlurmSpawner.req_memory = '2G'\n"
        "c.SlurmSpawner.req_account = 'people'\n"
    )
    _accounting("add account people")
    _accounting(f"add user {','.join(one.name for one in people)} account=people")
    with hub(site, shared) as started:
        yield started
    for one in people:
        subprocess.run(["scancel", "--user", one.name], check=True, timeout=30)


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
    seen = _seen_by(bert, anna, [], mpi)
    assert set(seen["doors"].values()) == _CLOSED

    workstation.stop_server_and_log_out(home, anna)


def test_at_a_centre_a_person_trains_on_nodes_from_a_notebook_on_another(
    centre: Hub,
    people: tuple[Account, Account],
    chromium: Browser,
    until: Callable[..., None],
) -> None:
    anna, bert = people
    hers, his = chromium.new_context(), chromium.new_context()
    centre.write(anna, "train.ipynb", _START_ON_NODES, _TRAIN, _VIEW, _END)
    home = centre.log_in(hers, anna)
    mine = Notebook(hers, centre.lab(anna), "train.ipynb")
    _run_long(mine, 0)
    ours, engines = _jobs(anna)
    assert mine.text(0).startswith("ready: Job")
    mine.run(1)
    _run_long(mine, 2)
    mine.await_points("smooth", 5, timeout_s=90.0)
    mine.await_points("smooth", mine.points("smooth") + 3)
    mine.picture(_PICTURES / "hub_centre.png")

    centre.refuses(his, bert, anna)
    seen = _seen_by(bert, anna, ["srun", "--nodelist", ours, "--mem=500"], [])
    assert {door.rpartition(":")[0] for door in seen["doors"]} <= {"127.0.0.1", _address(ours)}
    assert set(seen["doors"].values()) == _CLOSED

    mine.button("Stop now").click()
    expect(mine.page.locator(".idl-header .idl-badge").first).to_have_text("stopped")
    mine.run(3)
    assert mine.text(3).startswith("stopped")
    for node in engines.split(","):
        assert f"('{node}', {anna.uid}, [])" in mine.text(3)
    centre.stop_server_and_log_out(home, anna)
    until(lambda: not _jobs(anna), "no job is left")


def _run_long(notebook: Notebook, cell: int) -> None:
    """Run a cell that waits for nodes, or for engines that load a framework."""
    notebook.run(cell, wait=False)
    expect(notebook.prompt(cell)).to_have_text(re.compile(r"\[\d+\]:"), timeout=120_000)


def _seen_by(
    who: Account, other: Account, where: Sequence[str], left_out: Sequence[str]
) -> dict[str, Any]:
    """What somebody sees of another one there, as ``neighbour.py`` tells it."""
    words = [*where, sys.executable, _NEIGHBOUR, str(other.uid), str(other.home), *left_out]
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


def _jobs(who: Account) -> list[str]:
    """Nodes of somebody's jobs, the oldest first, such as ``n2,n3``."""
    words = ["squeue", "--noheader", "--sort=i", f"--user={who.name}", "--format=%N"]
    lines = subprocess.check_output(words, text=True, timeout=30).split()
    names = [["scontrol", "show", "hostnames", line] for line in lines]
    return [",".join(subprocess.check_output(one, text=True, timeout=30).split()) for one in names]


def _address(node: str) -> str:
    shown = subprocess.check_output(["getent", "ahostsv4", node], text=True, timeout=30)
    return shown.split()[0]


def _accounting(words: str) -> None:
    asked = ["sacctmgr", "--immediate", "--quiet", *words.split()]
    subprocess.run(asked, check=True, timeout=30, stdout=subprocess.DEVNULL)


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
