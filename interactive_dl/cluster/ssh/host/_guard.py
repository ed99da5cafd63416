"""Keeps a host clean: at its steward's word, and when that is not heard any more."""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from interactive_dl.cluster import _processes
from interactive_dl.cluster._places import make_own
from interactive_dl.cluster.ssh._script import ON_HOST
from interactive_dl.cluster.ssh.host import SIGN

_ALONE_S = 15.0
_GRACE_S = 0.5
_CHUNK = 4096


class Guard:
    """Answers its steward, line by line, and ends what a cluster runs on this host.

    A line is a word and a number: ``beat 7`` is answered, ``sweep 8`` after all engines have
    ended. When there are no more lines, or none for a while, engines are ended, too: either the
    steward has ended, or this host is cut off and the others go on without it.

    Args:
        folder: the cluster's.
        scratch: a folder that is made at the beginning and removed in the end.
        requests: open file to read lines from.
        replies: open file for the answers.

    Attributes:
        alone_s: how long nothing may be heard.
    """

    def __init__(self, folder: Path, scratch: Path, requests: int = 0, replies: int = 1) -> None:
        self._folder = folder
        self._scratch = scratch
        self._requests = requests
        self._replies = replies
        self.alone_s = _ALONE_S

    def run(self) -> None:
        """Guard until the end."""
        try:
            # A guard before this one, and what it guarded, may still be there.
            self._sweep()
            make_own(self._scratch)
            self._reply("ready 0")
            for line in self._lines():
                if line.startswith("sweep"):
                    self._sweep()
                self._reply(line)
        finally:
            self._sweep()
            shutil.rmtree(self._scratch, ignore_errors=True)

    def _lines(self) -> Iterator[str]:
        """Lines as they come, until there are no more, or none has come for too long."""
        rest, heard_s = b"", time.monotonic()
        while (left_s := heard_s + self.alone_s - time.monotonic()) > 0:
            if not select.select([self._requests], (), (), left_s)[0]:
                continue
            if not (read := os.read(self._requests, _CHUNK)):
                return
            heard_s = time.monotonic()
            *lines, rest = (rest + read).split(b"\n")
            yield from (line.decode() for line in lines)
        self._say(f"Nothing was heard for {self.alone_s:g} s: what runs here is ended.")

    def _sweep(self) -> None:
        """End all that the cluster runs here, but for its own parts and this process."""
        marked = _processes.marked(self._folder)
        _processes.end([one for one in marked if _is_on_host(one)], _GRACE_S)

    def _reply(self, line: str) -> None:
        with contextlib.suppress(OSError):  # the connection may be gone
            os.write(self._replies, f"{SIGN}{line}\n".encode())

    def _say(self, words: str) -> None:
        with contextlib.suppress(OSError):
            print(words, file=sys.stderr, flush=True)


def _is_on_host(process: psutil.Process) -> bool:
    try:
        return ON_HOST in process.environ()
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return False
