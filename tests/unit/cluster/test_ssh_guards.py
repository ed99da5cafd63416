"""Guards of hosts, without ssh: this machine is the host."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from interactive_dl.cluster import _processes
from interactive_dl.cluster._places import Places
from interactive_dl.cluster.slurm.silence import Silence
from interactive_dl.cluster.ssh._script import ON_HOST
from interactive_dl.cluster.ssh.host import SIGN, _guard, guard_command
from interactive_dl.cluster.ssh.request import request_of
from interactive_dl.cluster.ssh.steward import _guards
from interactive_dl.cluster.ssh.steward._guards import Guard
from interactive_dl.errors import ClusterError

TIMEOUT_S = 20.0


class _Host:
    """What a cluster runs on this machine, in a test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "cluster"
        self.scratch = folder / "scratch"
        self.folder.mkdir()
        self._children: list[subprocess.Popen[bytes]] = []

    def run(self, **variables: str) -> subprocess.Popen[bytes]:
        """A process with the cluster's mark, and these variables."""
        environment = {**os.environ, _processes.MARK: str(self.folder), **variables}
        child = subprocess.Popen(["sleep", "300"], env=environment)
        self._children.append(child)
        return child

    def end(self) -> None:
        for child in self._children:
            child.kill()
            child.wait()


@pytest.fixture
def host(tmp_path: Path) -> Iterator[_Host]:
    found = _Host(tmp_path)
    yield found
    found.end()


@pytest.fixture
def guard(host: _Host, monkeypatch: pytest.MonkeyPatch) -> Iterator[Guard]:
    """The connection to a guard of this machine, which is no part of what it guards."""
    monkeypatch.setenv(_processes.MARK, "another cluster's")
    _, *words = guard_command(host.folder, host.scratch)
    found = Guard("here", [sys.executable, *words])
    assert found.open()
    yield found
    found.hang_up()
    assert found.await_end(TIMEOUT_S)


def test_a_guard_answers_and_keeps_a_folder_while_it_is_there(host: _Host, guard: Guard) -> None:
    assert guard.ask("beat", TIMEOUT_S)
    assert host.scratch.stat().st_mode & 0o777 == 0o700
    guard.hang_up()
    assert guard.await_end(TIMEOUT_S)
    assert not host.scratch.exists()


def test_a_guard_keeps_no_folder_that_another_user_may_have_made(
    host: _Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(_processes.MARK, "another cluster's")
    kept = tmp_path / "another" / "file"
    kept.parent.mkdir()
    kept.touch()
    host.scratch.symlink_to(kept.parent)
    with pytest.raises(ClusterError, match="was made by user"):
        _guard.Guard(host.folder, host.scratch).run()
    assert kept.exists()


def test_a_sweep_ends_engines_and_nothing_else(host: _Host, guard: Guard) -> None:
    engine, controller = host.run(**{ON_HOST: "1"}), host.run()
    others = host.run(**{ON_HOST: "1", _processes.MARK: "/another/cluster"})
    assert guard.ask("sweep", TIMEOUT_S)
    assert engine.poll() is not None
    assert controller.poll() is None
    assert others.poll() is None


def test_engines_end_with_the_connection(host: _Host, guard: Guard) -> None:
    engine = host.run(**{ON_HOST: "1"})
    guard.hang_up()
    assert engine.wait(TIMEOUT_S) != 0


def test_a_guard_begins_with_what_another_has_left(host: _Host, guard: Guard) -> None:
    assert guard._ssh is not None
    guard._ssh.kill()
    assert guard.await_end(TIMEOUT_S)
    assert not guard.ask("beat", TIMEOUT_S)
    engine = host.run(**{ON_HOST: "1"})
    assert guard.open()
    assert engine.poll() is not None
    assert guard.ask("beat", TIMEOUT_S)


def test_a_guard_that_lives_on_does_not_end_the_next(
    host: _Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(_processes.MARK, str(host.folder))
    monkeypatch.setenv(ON_HOST, "1")
    _, *words = guard_command(host.folder, host.scratch)
    first, second = (Guard("here", [sys.executable, *words]) for _ in range(2))
    try:
        assert first.open()
        assert second.open()
        assert first.await_end(TIMEOUT_S)
        assert second.ask("beat", TIMEOUT_S)
        assert host.scratch.exists()
    finally:
        for one in (first, second):
            one.hang_up()
            one.await_end(TIMEOUT_S)


def test_guards_hear_of_their_steward_while_it_waits_for_a_slow_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, seconds in {"_BEAT_S": 0.02, "_READY_S": 1.0, "_END_S": 0.1}.items():
        monkeypatch.setattr(_guards, name, seconds)
    heard = tmp_path / "heard"
    guards = _guards.Guards(Places("x", tmp_path), request_of({"hosts": ["quick", "slow"]}))
    ready = f"echo '{SIGN}ready 0'; exec cat > {heard}"
    guards._guards["quick"] = Guard("quick", ["sh", "-c", ready])
    guards._guards["slow"] = Guard("slow", ["sleep", "300"])
    with guards:
        assert guards.unfit() == ["slow"]
        assert heard.read_text().startswith("beat ")


def test_a_host_without_guard_is_known_at_once() -> None:
    began_s = time.monotonic()
    lost = Guard("nowhere", ["false"])
    assert not lost.open()
    assert not lost.ask("beat", TIMEOUT_S)
    assert not lost.is_open
    assert time.monotonic() - began_s < TIMEOUT_S / 2


def test_a_guard_that_hears_nothing_more_ends_engines(host: _Host) -> None:
    ours, theirs = os.pipe()
    replies = host.folder / "replies"
    with replies.open("wb") as written:
        guard = _guard.Guard(host.folder, host.scratch, ours, written.fileno())
        thread = threading.Thread(target=guard.run, daemon=True)
        thread.start()
        _await(host.scratch.exists)
        engine = host.run(**{ON_HOST: "1"})
        os.write(theirs, b"be")
        _await(lambda: not select.select([ours], (), (), 0)[0])
        guard.alone_s = 0.1
        os.write(theirs, b"at 1\nbeat 2\n")
        assert engine.wait(TIMEOUT_S) != 0
        thread.join(TIMEOUT_S)
    assert not thread.is_alive()
    assert not host.scratch.exists()
    told = [line.removeprefix(SIGN) for line in replies.read_text().splitlines()]
    assert told == ["ready 0", "beat 1", "beat 2"]
    for opened in (ours, theirs):
        os.close(opened)


def test_who_answers_again_is_not_held_silent_by_an_earlier_look() -> None:
    slow, is_cut = threading.Event(), True
    asked = threading.Event()

    def ask(_: str) -> bool:
        answers = not is_cut
        asked.set()
        slow.wait(TIMEOUT_S)
        return answers

    silence = Silence({"n1": "n1"}, ask)
    earlier = threading.Thread(target=silence.look)
    earlier.start()
    assert asked.wait(TIMEOUT_S)
    is_cut = False
    later = threading.Thread(target=silence.look)
    later.start()
    slow.set()
    for look in (earlier, later):
        look.join(TIMEOUT_S)
    assert silence.known == {"n1": 0.0}


def _await(condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + TIMEOUT_S
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.005)
