"""The processes of a cluster, told by a mark in their environment that all of them inherit.

Parents are no help: a controller or mpiexec that was killed leaves orphans behind.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import psutil

_POLL_S = 0.005
MARK = "IDL_CLUSTER"
"""Environment variable that holds the cluster's folder."""


def marked(folder: Path) -> tuple[psutil.Process, ...]:
    """This user's processes that belong to the cluster, the caller and its ancestors excepted."""
    spared = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    return tuple(process for process in _own() if _belongs(process, folder, spared))


def marks() -> frozenset[str]:
    """Folders of all clusters that have a process of this user on this machine."""
    return frozenset(mark for process in _own() if (mark := _mark(process)))


def is_alive(pid: int, folder: Path) -> bool:
    """Whether ``pid`` lives and is (still) a process of the cluster."""
    try:
        process = psutil.Process(pid)
        return _lives(process) and _mark(process) == str(folder)
    except psutil.NoSuchProcess:
        return False


def has(process: psutil.Process, words: str) -> bool:
    """Whether ``words`` stand in the command line of a process."""
    return words in " ".join(_command(process))


def end(processes: Sequence[psutil.Process], grace_s: float) -> None:
    """Terminate, wait for ``grace_s``, kill what is left, and wait until it is gone."""
    for process in processes:
        _quietly(process.terminate)
    stubborn = _still_there(processes, grace_s)
    for process in stubborn:
        _quietly(process.kill)
    _still_there(stubborn, grace_s)


def _still_there(processes: Sequence[psutil.Process], timeout_s: float) -> list[psutil.Process]:
    """Those that have not ended by then; an orphan that nobody reaps has ended, too."""
    deadline_s = time.monotonic() + timeout_s
    living = [process for process in processes if _lives(process)]
    while living and time.monotonic() < deadline_s:
        time.sleep(_POLL_S)
        living = [process for process in living if _lives(process)]
    return living


def _lives(process: psutil.Process) -> bool:
    try:
        if process.status() == psutil.STATUS_ZOMBIE:
            # Until its last thread has ended it holds its ports.
            return process.num_threads() > 1
        return process.is_running()
    except psutil.NoSuchProcess:
        return False


def _own() -> Iterable[psutil.Process]:
    user = os.getuid()
    for process in psutil.process_iter():
        try:
            if process.uids().real == user:
                yield process
        except psutil.NoSuchProcess:
            continue


def _belongs(process: psutil.Process, folder: Path, spared: set[int]) -> bool:
    return process.pid not in spared and _mark(process) == str(folder)


def _mark(process: psutil.Process) -> str | None:
    try:
        mark: str | None = process.environ().get(MARK)
    except (psutil.NoSuchProcess, psutil.AccessDenied, OSError):
        return None
    return mark


def _command(process: psutil.Process) -> list[str]:
    try:
        return list(process.cmdline())
    except psutil.NoSuchProcess:
        return []


def _quietly(act: Callable[[], None]) -> None:
    try:
        act()
    except psutil.NoSuchProcess:
        return
