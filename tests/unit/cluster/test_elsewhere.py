"""Clusters that were started on another host: who answers lives, whatever process ids say."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

import interactive_dl as idl
from interactive_dl.cluster import _elsewhere, _processes
from interactive_dl.cluster._description import Description, Options
from interactive_dl.cluster._places import Places
from interactive_dl.errors import ClusterElsewhereError, ClusterError
from interactive_dl.telemetry import _address

_THIS_HOST = "0.0.0.0"
_LOOPBACK = "127.0.0.1"

Make = Callable[..., Places]


@pytest.fixture
def port() -> Iterator[int]:
    """One that somebody listens on."""
    with socket.create_server((_THIS_HOST, 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def closed() -> int:
    """A port that nobody listens on."""
    with socket.create_server((_THIS_HOST, 0)) as server:
        number: int = server.getsockname()[1]
    return number


@pytest.fixture
def deaf() -> Iterator[int]:
    """A port whose queue is full: who calls gets no answer, as from a host that was cut off."""
    with socket.create_server((_THIS_HOST, 0), backlog=0) as server, ExitStack() as callers:
        address = server.getsockname()
        for _ in range(4):
            caller = callers.enter_context(socket.socket())
            caller.setblocking(False)
            caller.connect_ex(address)
        yield address[1]


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    """Files of a cluster that was started on another host, and listens at an address."""
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))

    places = Places("far", tmp_path)

    def make_(address: str, port: int) -> Places:
        places.create()
        places.client_connection.parent.mkdir(parents=True)
        described = Description("far", "login9", Options(engines=2), 1e9, 1, 0, 1)
        described.write(places.description)
        _address.write(places.folder, _address.Address(f"tcp://{address}:{port}", "", "", ""))
        told = {"interface": f"tcp://{address}", "registration": port}
        places.client_connection.write_text(json.dumps(told))
        return places

    yield make_
    places.remove()


def test_one_that_answers_is_listed_as_ready(make: Make, port: int) -> None:
    make(_THIS_HOST, port)
    assert [(one.state, one.host) for one in idl.Cluster.list()] == [("ready", "login9")]


def test_one_whose_host_says_that_nobody_listens_has_ended(make: Make, closed: int) -> None:
    places = make(_THIS_HOST, closed)
    assert [one.state for one in idl.Cluster.list()] == ["failed"]
    cluster = idl.Cluster.attach("far")
    assert cluster.state.name == "failed"
    assert "login9, where its controller and recorder have ended" in cluster.state.reason
    cluster.stop()
    assert not places.folder.exists()


@pytest.mark.parametrize(
    ("address", "words"), [(_THIS_HOST, "does not answer"), (_LOOPBACK, "loopback interface only")]
)
def test_of_one_that_cannot_be_asked_nothing_is_said_nor_cleaned(
    make: Make, deaf: int, monkeypatch: pytest.MonkeyPatch, address: str, words: str
) -> None:
    monkeypatch.setattr(_elsewhere, "_CONNECT_S", 0.05)
    places = make(address, deaf)
    assert [one.state for one in idl.Cluster.list()] == ["unknown"]
    with pytest.raises(ClusterElsewhereError, match=rf"{words}.*On login9, type: idl.Cluster.att"):
        idl.Cluster.attach("far")
    assert words in idl.Cluster.recorded("far").state.reason
    with pytest.raises(ClusterElsewhereError, match=rf"{words}.*idl cluster stop far; or.* rm -r"):
        idl.Cluster.recorded("far").stop()
    assert places.description.exists()


def test_its_id_is_not_used_again_while_it_may_live(make: Make, port: int) -> None:
    places = make(_THIS_HOST, port)
    with pytest.raises(ClusterError, match="'far' is that of a cluster on login9"):
        idl.Cluster(1, cluster_id="far").start()
    assert places.description.exists()


def test_a_host_that_has_got_another_name_is_not_elsewhere(make: Make, port: int) -> None:
    places = make(_THIS_HOST, port)
    assert _elsewhere.is_elsewhere(places)
    mark = {**os.environ, _processes.MARK: str(places.folder)}
    with subprocess.Popen(["sleep", "60"], env=mark) as controller:
        described = Description.read(places.description)
        replace(described, controller_pid=controller.pid).write(places.description)
        assert not _elsewhere.is_elsewhere(places)
        controller.kill()
