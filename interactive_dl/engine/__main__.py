"""``python -m interactive_dl.engine``: what mpiexec starts, a watcher with the engine as its child.

The watcher uses no MPI. It gives the engine a log of its own, passes signals on, and leaves word
of how the engine ended. MPI tells the other ranks of a death when the process that mpiexec itself
started ends, so the watcher ends right after the engine. Its own exit code matters (seen with
Open MPI 5.0.11, fault tolerance on): in the world that mpiexec started, another code than 0 makes
mpiexec end everybody; in one that was spawned later, 0 leaves the others waiting for the dead.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from interactive_dl.telemetry import exits

_PR_SET_PDEATHSIG = 1
_FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


def main(words: Sequence[str] | None = None) -> int:
    """Run one engine to its end and record how it ended."""
    options = _parse(words)
    rank = int(os.environ.get("OMPI_COMM_WORLD_RANK", os.environ.get("PMIX_RANK", "0")))
    engine = rank if options.id is None else options.id
    child = _start_engine(options.folder, engine, options.world)
    _forward_signals(child)
    _, status, usage = os.wait4(child.pid, 0)
    code = os.waitstatus_to_exitcode(status)
    ended = exits.Exit(
        engine=engine,
        host=socket.gethostname(),
        pid=child.pid,
        exit_code=code if code >= 0 else None,
        signal_number=-code if code < 0 else None,
        ended_at_s=time.time(),
        max_rss_bytes=usage.ru_maxrss * 1024,
    )
    if options.folder.exists():
        exits.record_exit(options.folder, ended)
    was_spawned = options.id is not None
    return int(was_spawned)


def _parse(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m interactive_dl.engine")
    parser.add_argument("--folder", type=Path, required=True, help="the cluster's folder")
    parser.add_argument("--id", type=int, help="engine id; by default the rank")
    parser.add_argument("--world", default="", help="engine ids of the world to join")
    return parser.parse_args(words)


def _start_engine(folder: Path, engine: int, world: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "interactive_dl.engine._process"]
    command += ["--folder", str(folder), "--id", str(engine), "--world", world]
    with exits.log_file(folder, engine).open("ab") as log:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, "PYTHONFAULTHANDLER": "1"},
            preexec_fn=_die_with_parent,
        )


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _forward_signals(child: subprocess.Popen[bytes]) -> None:
    def forward(number: int, _frame: FrameType | None) -> None:
        child.send_signal(number)

    for number in _FORWARDED:
        signal.signal(number, forward)


if __name__ == "__main__":
    sys.exit(main())
