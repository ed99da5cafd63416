"""A controller that is killed comes back by itself, and nobody's work is disturbed."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import ipyparallel
import pytest
from ipyparallel.error import RemoteError

from interactive_dl.cluster import Cluster, _processes
from interactive_dl.cluster._description import Description
from interactive_dl.cluster.controller._parts import Parts

_DIRECT = 1  # the schedulers' order is that of their start


@ipyparallel.interactive
def _work(beats: str, until_exists: str) -> int:
    """Add a byte to a file every few milliseconds until another file exists."""
    import os
    import time

    while not os.path.exists(until_exists):
        with open(beats, "ab") as file:
            file.write(b".")
        time.sleep(0.005)
    return os.getpid()


class _Work:
    """Tasks that run on engines until they are released."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._release = folder / "release"

    def on(self, view: ipyparallel.View, name: str) -> ipyparallel.AsyncResult:
        return view.apply_async(_work, str(self._folder / name), str(self._release))

    def beats(self, name: str) -> int:
        path = self._folder / name
        return path.stat().st_size if path.exists() else 0

    def release(self) -> None:
        self._release.touch()


@pytest.fixture
def work(tmp_path: Path) -> Iterator[_Work]:
    running = _Work(tmp_path)
    yield running
    running.release()


def _parts(cluster: Cluster) -> Parts:
    parts = Parts.read(cluster._places.folder)
    assert parts is not None
    return parts


def _supervisor(cluster: Cluster) -> int:
    return Description.read(cluster._places.description).controller_pid


@contextmanager
def _stopped(pid: int) -> Iterator[None]:
    """Have a process do nothing for a while."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def _kill_hub(cluster: Cluster) -> None:
    os.kill(_parts(cluster).hub, signal.SIGKILL)


def test_a_killed_controller_comes_back_and_no_task_is_disturbed(
    cluster: Cluster, work: _Work, until: Callable[..., None]
) -> None:
    before, engines = _parts(cluster), cluster.engines
    pids = [engine.pid for engine in engines]
    first, _, _ = ids = [engine.id for engine in engines]
    direct = work.on(cluster.client[first], "direct")
    balanced = work.on(cluster.client.load_balanced_view(ids[1:]), "balanced")
    until(lambda: work.beats("direct") and work.beats("balanced"), "both run")

    with _stopped(_supervisor(cluster)):
        _kill_hub(cluster)
        until(lambda: "being restarted" in cluster.state.reason, "the cluster says so")
        assert [one.state for one in Cluster.list() if one.id == cluster.id] == ["degraded"]
    beats = {name: work.beats(name) for name in ("direct", "balanced")}
    attached = Cluster.attach(cluster.id)
    until(lambda: str(cluster.state) == "ready", "it is back")
    assert _parts(cluster).hub != before.hub
    assert _parts(cluster).schedulers == before.schedulers
    assert all(work.beats(name) > count for name, count in beats.items())

    work.release()
    assert direct.get(timeout=20) == pids[0]
    assert balanced.get(timeout=20) in pids[1:]
    assert cluster.engines == engines
    for one in (cluster, attached):
        assert one.client.ids == ids
        assert one.client[:].apply_async(os.getpid).get(timeout=20) == pids
        assert one.client.load_balanced_view().apply_async(os.getpid).get(timeout=20) in pids
    attached.close()


def test_an_engine_that_dies_together_with_the_controller_is_missed_and_replaced(
    cluster: Cluster, until: Callable[..., None]
) -> None:
    kept, victim = cluster.engines[0], cluster.engines[-1]
    _kill_hub(cluster)
    os.kill(victim.pid, signal.SIGKILL)
    until(lambda: victim.id not in cluster.client.ids, "the new controller tells its death")
    assert cluster.deaths[-1].engine == victim.id
    cluster.heal()
    assert str(cluster.state) == "ready"
    assert kept in cluster.engines
    pids = [engine.pid for engine in cluster.engines]
    assert cluster.client[:].apply_async(os.getpid).get(timeout=20) == pids


def test_a_request_whose_answer_was_lost_with_a_scheduler_fails_instead_of_hanging(
    cluster: Cluster, work: _Work, until: Callable[..., None]
) -> None:
    before, first = _parts(cluster), cluster.engines[0]
    asked = work.on(cluster.client[first.id], "asked")
    until(lambda: work.beats("asked"), "it runs")
    os.kill(before.schedulers[_DIRECT], signal.SIGKILL)
    with pytest.raises(RemoteError, match="schedulers were killed and restarted"):
        asked.get(timeout=20)
    until(lambda: str(cluster.state) == "ready", "it is back")
    assert not set(before.schedulers) & set(_parts(cluster).schedulers)

    beats = work.beats("asked")
    until(lambda: work.beats("asked") > beats, "the engine goes on")
    work.release()
    pids = [engine.pid for engine in cluster.engines]
    assert cluster.client[:].apply_async(os.getpid).get(timeout=20) == pids
    assert cluster.client.load_balanced_view().apply_async(os.getpid).get(timeout=20) in pids


def test_a_supervisor_that_is_killed_comes_back_too(
    cluster: Cluster, until: Callable[..., None]
) -> None:
    hub, supervisor = _parts(cluster).hub, _supervisor(cluster)
    os.kill(supervisor, signal.SIGKILL)
    until(lambda: _supervisor(cluster) != supervisor, "there is another one")
    assert "cluster.restart()" not in cluster.state.reason
    until(lambda: cluster.state.name == "ready" and _parts(cluster).hub != hub, "and its hub")

    hub = _parts(cluster).hub
    _kill_hub(cluster)
    until(lambda: cluster.state.name == "ready" and _parts(cluster).hub != hub, "it supervises")
    pids = [engine.pid for engine in cluster.engines]
    assert cluster.client[:].apply_async(os.getpid).get(timeout=20) == pids


def test_a_controller_that_dies_again_and_again_is_given_up_until_a_restart(
    cluster: Cluster, until: Callable[..., None]
) -> None:
    before = {engine.pid for engine in cluster.engines}

    def given_up() -> bool:
        if cluster.state.name == "ready":
            _kill_hub(cluster)
        return "died 5 times within 10 s" in cluster.state.reason

    until(given_up, "patience is over")
    assert cluster.state.name == "degraded"
    assert "cluster.restart()" in cluster.state.reason

    Cluster.attach(cluster.id).stop()
    assert _processes.marked(cluster._places.folder) == ()
    cluster.restart()
    assert str(cluster.state) == "ready"
    assert not before & {engine.pid for engine in cluster.engines}
