"""Programs that belong to a cluster and run beside its recorder."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
import psutil


class Started(msgspec.Struct, frozen=True):
    """A process that was started; its id may be given to another one when it has ended.

    Attributes:
        host: host name.
        pid: process id.
        created_s: when it was started, as the host tells it.
    """

    host: str
    pid: int
    created_s: float


def start(words: Sequence[str], log: Path, environment: Mapping[str, str]) -> Started:
    """Start a Python program that outlives this process.

    Args:
        words: ``-m``, a module, and its arguments.
        log: appended to.
        environment: all of it.
    """
    with log.open("ab") as file:
        process = subprocess.Popen(
            [sys.executable, *words],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
    return Started(socket.gethostname(), process.pid, psutil.Process(process.pid).create_time())


def start_in_own(folder: Path, words: Sequence[str], log: str) -> Started:
    """Start one with this process's own environment; its log is in the cluster's folder."""
    return start(words, folder / log, os.environ)
