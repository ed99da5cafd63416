"""``python -m interactive_dl.engine``: what starts first, a watcher with the engine as its child.

The watcher uses no MPI. It gives the engine a log of its own, passes signals on, kills it when it
stalls, and leaves word of how it ended. MPI tells the other ranks of a death when the process that
mpiexec itself started ends, so the watcher ends right after the engine. Its own exit code matters
(seen with Open MPI 5.0.11, fault tolerance on): in the world that mpiexec started, another code
than 0 makes mpiexec end everybody; in one that was spawned later, 0 leaves the others waiting for
the dead. Under srun everybody is to end with one that has died, and it is this code that says so.
Where there is no MPI, the watcher attends at the recorder's instead, and ends an engine that was
expelled there.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import psutil

from interactive_dl.engine._beats import BEATS_VARIABLE, Sign
from interactive_dl.telemetry import exits
from interactive_dl.telemetry.commands import ENDS_ALL, OUTLIVES_SIGTERM, without_mpi

if TYPE_CHECKING:
    from interactive_dl.telemetry.attendance import Attendee

_LOOK_S = 0.5
_PR_SET_PDEATHSIG = 1
# As Open MPI's mpiexec, another PMIx and Slurm without any name it.
_RANKS = ("OMPI_COMM_WORLD_RANK", "PMIX_RANK", "SLURM_PROCID")
_PMI_LINE = "PMI_FD"
_FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


def main(words: Sequence[str] | None = None) -> int:
    """Run one engine to its end and record how it ended."""
    options = _parse(words)
    rank = next((int(os.environ[name]) for name in _RANKS if name in os.environ), 0)
    ids = [int(word) for word in options.world.split(",") if word]
    engine = options.id if options.id is not None else ids[rank] if ids else rank
    attendee = _attendee(options.folder, engine) if without_mpi() else None
    beats, pipe = os.pipe()
    child = _start_engine(options, engine, pipe)
    os.close(pipe)
    _forward_signals(child)
    stalled, expelled = _watch(child, beats, attendee)
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
        stalled=stalled,
        lost=expelled,
    )
    if options.folder.exists():
        _record(options.folder, ended)
        if attendee is not None:
            attendee.leave(ended.reason)
    was_spawned = options.id is not None
    return int(was_spawned or (ENDS_ALL in os.environ and code != 0))


def _record(folder: Path, ended: exits.Exit) -> None:
    """Where it cannot be written, such as over a quota, that is no reason to end the others."""
    try:
        exits.record_exit(folder, ended)
    except OSError as error:
        said = f"Engine {ended.engine}: {ended.reason}. Notebooks are not told: {error}"
        print(said, file=sys.stderr, flush=True)


def _parse(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m interactive_dl.engine")
    parser.add_argument("--folder", type=Path, required=True, help="the cluster's folder")
    parser.add_argument("--id", type=int, help="engine id; by default that of the rank")
    parser.add_argument("--world", default="", help="engine ids by rank; by default the ranks")
    parser.add_argument("--invited", action="store_true", help="join a training that runs")
    return parser.parse_args(words)


def _attendee(folder: Path, engine: int) -> Attendee:
    from interactive_dl.telemetry.attendance import Attendee

    return Attendee(folder, engine)


def _watch(
    child: subprocess.Popen[bytes], beats: int, attendee: Attendee | None
) -> tuple[str, str]:
    """Wait for the end of the engine; kill it when it stalls, or was expelled.

    Returns:
        Why it was killed: how it had stalled, and why it was expelled; empty if it was not.
    """
    ended = os.pidfd_open(child.pid)
    process = psutil.Process(child.pid)
    now_s = time.monotonic()
    sign = Sign(now_s, 0.0, now_s)
    watched = [ended, beats]
    while True:
        ready, _, _ = select.select(watched, (), (), _LOOK_S)
        if ended in ready:
            return "", ""
        has_beaten = beats in ready and bool(os.read(beats, 4096))
        if beats in ready and not has_beaten:
            watched.remove(beats)  # its end is near
        now_s = time.monotonic()
        try:
            used, status = process.cpu_times(), process.status()
        except psutil.NoSuchProcess:
            return "", ""
        sign = sign.seen(now_s, has_beaten=has_beaten, cpu_s=used.user + used.system)
        stalled = sign.stalled(now_s, status) or ""
        expelled = attendee.attend() if attendee is not None else ""
        if stalled or expelled:
            child.kill()
            return stalled, expelled


def _start_engine(options: argparse.Namespace, engine: int, pipe: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "interactive_dl.engine._process"]
    command += ["--folder", str(options.folder), "--id", str(engine), "--world", options.world]
    command += ["--invited"] * options.invited
    with exits.log_file(options.folder, engine).open("ab") as log:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, "PYTHONFAULTHANDLER": "1", BEATS_VARIABLE: str(pipe)},
            pass_fds=[pipe, *_pmi_line()],
            preexec_fn=_die_with_parent,
        )


def _pmi_line() -> list[int]:
    """The open file through which MPICH speaks with who started this, where that is Slurm."""
    return [int(os.environ[_PMI_LINE])] if _PMI_LINE in os.environ else []


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _forward_signals(child: subprocess.Popen[bytes]) -> None:
    def forward(number: int, _frame: FrameType | None) -> None:
        child.send_signal(number)

    for number in _FORWARDED:
        signal.signal(number, forward)
    if OUTLIVES_SIGTERM in os.environ:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)


if __name__ == "__main__":
    sys.exit(main())
