"""Clusters on hosts that ssh reaches, without a scheduler."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import ipyparallel
import psutil
import pytest

import interactive_dl as idl
from deploy.virtual import SSH_VARIABLE
from interactive_dl.cluster import _processes
from interactive_dl.errors import UnfitHostsError

STEP_TIMEOUT_S = 120.0
SECRET = "what only the hub may know"
HOSTS = ("n1", "n2")


@pytest.fixture(scope="module", autouse=True)
def own_ipython_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("ipython")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IPYTHONDIR", str(folder))
        patch.setenv("JUPYTERHUB_API_TOKEN", SECRET)
        yield folder


@pytest.fixture(scope="module")
def shared(own_ipython_folder: Path) -> Iterator[idl.Cluster]:
    with _cluster(hosts=["n1", "n2:2"], setup=["echo module 7 is loaded"]) as cluster:
        yield cluster
    assert _left() == ""


@pytest.fixture
def cluster(shared: idl.Cluster) -> idl.Cluster:
    """One engine on the first host and two on the second; tests may end them."""
    if shared.state.name != "ready" or len(shared.client.ids) != 3:
        shared.restart()
    return shared


def _options() -> list[str]:
    return ["-F", os.environ[SSH_VARIABLE]]


def _cluster(**request: Any) -> idl.Cluster:
    return idl.Cluster("ssh", start_timeout_s=60.0, **{"ssh_options": _options(), **request})


def test_engines_on_hosts_are_one_world_of_which_nobody_else_learns(cluster: idl.Cluster) -> None:
    told = cluster.client[:].apply_async(_place).get(timeout=STEP_TIMEOUT_S)
    assert [(one["host"], one["sum"]) for one in told] == [("n1", 3), ("n2", 3), ("n2", 3)]
    assert {one["folder"] for one in told} == {str(Path.cwd())}
    assert all(SECRET not in one["variables"].values() for one in told)
    assert SECRET not in _on("n1", "cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ")
    bound = {
        one.laddr.ip
        for process in _processes.marked(cluster.folder)
        for one in process.net_connections("inet")
        if one.status == psutil.CONN_LISTEN and process.name() != "prterun"
    }
    assert bound <= {"10.77.0.1", "127.0.0.1"}
    assert cluster.folder.stat().st_mode & 0o077 == 0


def test_hosts_that_do_not_fit_are_told_before_anything_starts(tmp_path: Path) -> None:
    keys = Path(os.environ[SSH_VARIABLE]).parent
    stranger = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", stranger], check=True)
    unknown = ["-F", "/dev/null", "-i", str(keys / "key")]
    known = ["-F", "/dev/null", "-o", f"UserKnownHostsFile={keys / 'known_hosts'}"]
    here = "/dev/shm/of-this-host-alone"
    cases: Mapping[str, dict[str, Any]] = {
        "n1: ssh says: .*Permission denied.* Type: ssh-copy-id n1": {
            "hosts": ["n1"],
            "ssh_options": [*known, "-i", str(stranger), "-o", "IdentitiesOnly=yes"],
        },
        "n2: ssh says: .*Host key verification failed. Type: ssh n2": {
            "hosts": ["n2"],
            "ssh_options": unknown,
        },
        "1 of 2 (.|\n)*n9: ssh says: .*Could not resolve": {"hosts": ["n1", "n9"]},
        "n1: exit code 7: no such module": {
            "hosts": ["n1"],
            "setup": ["echo no such module >&2; exit 7"],
        },
        "n1: it does not reach this host at 127.0.0.1": {"hosts": ["n1"], "interface": "lo"},
        "10.77.0.2: it is the same host as n1": {"hosts": ["n1", "10.77.0.2"]},
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IPYTHONDIR", here)
        blind = _cluster(hosts=["n1"])
    with ThreadPoolExecutor(len(cases) + 1) as starters:
        told = {says: starters.submit(_refusal, _cluster(**case)) for says, case in cases.items()}
        told[f"n1: it does not see {here}"] = starters.submit(_refusal, blind)
    for says, refusal in told.items():
        assert refusal.exception() is None, says
        with pytest.raises(UnfitHostsError, match=says):
            raise refusal.result()


def _refusal(cluster: idl.Cluster) -> UnfitHostsError:
    """Why it is not started."""
    with pytest.raises(UnfitHostsError) as refused:
        cluster.start()
    assert cluster.state.name == "refused"
    assert not cluster.folder.exists()
    return refused.value


def test_a_death_is_told_and_the_world_starts_again(
    cluster: idl.Cluster, until: Callable[..., None]
) -> None:
    before = set(cluster.client.ids)
    cluster.client[max(before)].apply_async(os._exit, 3)
    first = f"Engine {max(before)} "
    until(lambda: first in cluster.state.reason, "the death is told", timeout_s=3.0)
    assert cluster.state.name == "degraded"
    until(
        lambda: cluster.state.name == "ready" and len(set(cluster.client.ids) - before) == 3,
        "the engines are there again",
        timeout_s=60.0,
    )
    assert [engine.host for engine in cluster.engines] == ["n1", "n2", "n2"]


def test_no_host_keeps_engines_whose_steward_was_killed_even_when_cut_off(
    cluster: idl.Cluster, until: Callable[..., None], link: Callable[..., None]
) -> None:
    steward = next(
        one for one in _processes.marked(cluster.folder) if _processes.has(one, "ssh.steward")
    )
    link("n2", "down")
    try:
        until(lambda: "No answer from n2" in cluster.state.reason, "it is named", timeout_s=5.0)
        steward.send_signal(signal.SIGKILL)
        until(lambda: cluster.state.name == "failed", "its end is told", timeout_s=3.0)
        assert "Type: cluster.restart()" in cluster.state.reason
        until(lambda: _left("n1") == "", "no engine is left on the other host")
    finally:
        link("n2", "up")
    until(lambda: _left("n2") == "", "nor on the one that comes back")


def _left(*hosts: str) -> str:
    """What is left of clusters on hosts; by default on all of them."""
    looking = "ps axww -o args | grep '[i]nteractive_dl'; ls /dev/shm"
    return "".join(_on(host, looking) for host in hosts or HOSTS)


def _on(host: str, script: str) -> str:
    words = ["ssh", *_options(), "-o", "ConnectTimeout=5", host, script]
    done = subprocess.run(words, capture_output=True, text=True, errors="replace", check=False)
    return done.stdout if done.returncode != 255 else f"{host}: {done.stderr}"


@ipyparallel.interactive
def _place() -> dict[str, Any]:
    """What an engine knows of where it is."""
    import os
    import socket

    from mpi4py import MPI

    return {
        "host": socket.gethostname(),
        "sum": MPI.COMM_WORLD.allreduce(MPI.COMM_WORLD.rank),
        "folder": os.getcwd(),
        "variables": dict(os.environ),
    }
