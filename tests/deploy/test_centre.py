"""The virtual centre itself."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import psutil


def test_nodes_are_hosts_of_their_own() -> None:
    assert socket.gethostname() == "login"
    assert sorted(_output(["srun", "--nodes=4", "hostname"])) == ["n1", "n2", "n3", "n4"]
    assert "slurmd" not in {daemon.name() for daemon in psutil.process_iter()}


def test_a_node_that_is_cut_off_does_not_answer(
    link: Callable[..., None], until: Callable[..., None]
) -> None:
    assert _reaches_node()
    link("n4", "down")
    try:
        assert not _reaches_node()
    finally:
        link("n4", "up")
    until(_reaches_node, "the node answers again")


def test_no_process_is_left_of_a_centre_that_was_killed(until: Callable[..., None]) -> None:
    before = set(psutil.pids())
    # Slurm's sockets need a path that is shorter than pytest's, and that everybody may enter.
    with tempfile.TemporaryDirectory(prefix="idl-") as folder:
        Path(folder).chmod(0o755)
        up = Path(folder) / "up"
        words = [sys.executable, "-m", "deploy.virtual", "--nodes", "1"]
        centre = subprocess.Popen(
            [*words, "sh", "-c", f"touch {up}; sleep 60"], env={**os.environ, "TMPDIR": folder}
        )
        until(lambda: up.exists() or centre.poll(), "a centre in the centre is up", timeout_s=60.0)
        assert {process.name() for process in _new(before)} >= {"slurmctld", "slurmd", "munged"}
        centre.kill()
        centre.wait()
        until(lambda: not _new(before), "no process of the centre lives")


def _new(before: set[int]) -> list[psutil.Process]:
    return [one for one in psutil.process_iter() if one.pid not in before]


def _reaches_node() -> bool:
    try:
        socket.create_connection(("n4", 6818), timeout=0.5).close()
    except OSError:
        return False
    return True


def _output(words: list[str]) -> list[str]:
    done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=30)
    return done.stdout.splitlines()
