"""The processes of a cluster, told by a mark in their environment that all of them inherit.

Parents are no help: a controller or mpiexec that was killed leaves orphans behind.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import psutil

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
        return process.status() != psutil.STATUS_ZOMBIE and _mark(process) == str(folder)
    except psutil.NoSuchProcess:
        return False


def has(process: psutil.Process, words: str) -> bool:
    """Whether ``words`` stand in the command line of a process."""
    return words in " ".join(_command(process))


def end(processes: Sequence[psutil.Process], grace_s: float) -> None:
    """Terminate, wait for ``grace_s``, kill what is left, and wait until it is gone."""
    for process in processes:
        _quietly(process.terminate)
    _, stubborn = psutil.wait_procs(processes, timeout=grace_s)
    for process in stubborn:
        _quietly(process.kill)
    psutil.wait_procs(stubborn, timeout=grace_s)


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
