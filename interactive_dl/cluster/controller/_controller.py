"""One life of a controller."""

from __future__ import annotations

import ctypes
import logging
import os
import subprocess
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
from ipyparallel.controller import app
from tornado.ioloop import PeriodicCallback

from interactive_dl.cluster import _processes
from interactive_dl.cluster._description import Description
from interactive_dl.cluster.controller import RESULTS_LOST, controller_command
from interactive_dl.cluster.controller._hub import Hub, Tasks
from interactive_dl.cluster.controller._parts import Parts

_PR_SET_PDEATHSIG = 1
_WATCH_MS = 500
_GRACE_S = 0.5
# Clients and engines reconnect within some 0.2 s: what is told earlier, not all of them hear.
_RECONNECTED_S = 1.0
_TELL_AFTER_S = (_RECONNECTED_S, 3.0)
_FREQUENT = ("task::", "queue::", "client::client %r requested")

# IPController has no other place to say which class its hub is of.
app.Hub = Hub


def run(folder: Path, words: Sequence[str]) -> None:
    """Control until SIGTERM.

    Args:
        folder: the cluster's.
        words: ipcontroller's command line.
    """
    _outlive_supervisor()
    before = Parts.read(folder)
    controller = Controller(folder, words, before or Parts())
    controller.initialize([*words, "--restore"] if before else list(words))
    # traitlets lets it make records of every message, for its handlers to drop.
    controller.log.setLevel(controller.log_level)
    controller.log.addFilter(_is_rare)
    controller.start()


class Controller(app.IPController):
    """ipyparallel's controller, which takes over the schedulers of the one before.

    Children inherit sockets. The schedulers outlive this process, and would keep its ports: they
    are started before any port is taken.
    """

    children: list[Any]
    db_class = Tasks

    def __init__(self, folder: Path, words: Sequence[str], before: Parts) -> None:
        super().__init__()
        self._folder = folder
        self._words = words
        self._supervisor = os.getppid()
        self._schedulers = before.schedulers
        self._unbound: list[tuple[Any, str]] = []

    def bind(self, socket: Any, url: str) -> None:
        self._unbound.append((socket, url))

    def cleanup_connection_files(self) -> None:
        """Leave them for the next life; the cluster removes them."""

    def start(self) -> None:
        lost_results = self._has_lost_a_scheduler()
        if lost_results:
            self._schedulers = ()
        self._end_others()
        if not self._schedulers:
            self._schedulers = tuple(_start(child) for child in self.children)
        self.children = []
        for socket, url in self._unbound:
            super().bind(socket, url)
        up_after_s = _RECONNECTED_S if lost_results else 0.0
        self.loop.call_later(up_after_s, self._be_up)
        for after_s in _TELL_AFTER_S:
            self.loop.call_later(after_s, self.hub.tell_deaths_again, self._folder)
            if lost_results:
                self.loop.call_later(after_s, self._tell_loss, time.time() + up_after_s)
        super().start()

    def terminate_children(self) -> None:
        super().terminate_children()
        for pid in self._schedulers:
            if _processes.is_alive(pid, self._folder):
                psutil.Process(pid).terminate()

    def _be_up(self) -> None:
        Parts(os.getpid(), self._schedulers).write(self._folder)
        self._watching = PeriodicCallback(self._watch, _WATCH_MS)
        self._watching.start()

    def _watch(self) -> None:
        """End with a part that has ended: the next life brings it back."""
        if os.getppid() != self._supervisor:
            self.log.critical("The controller's supervisor was killed; it is started again.")
            _start_supervisor(self._folder, self._words)
            os._exit(1)
        if self._has_lost_a_scheduler() or not self.heartmonitor_process.is_alive():
            self.log.critical("A process of the controller has ended; it is started again.")
            os._exit(1)

    def _has_lost_a_scheduler(self) -> bool:
        return not all(_processes.is_alive(pid, self._folder) for pid in self._schedulers)

    def _end_others(self) -> None:
        """End what is left of the life before, except the schedulers that are taken over."""
        own = psutil.Process().cmdline()
        others = [
            process
            for process in _processes.marked(self._folder)
            if process.pid not in self._schedulers and _processes.has(process, " ".join(own))
        ]
        _processes.end(others, _GRACE_S)

    def _tell_loss(self, before_s: float) -> None:
        self.hub.notify(RESULTS_LOST, {"before_s": before_s})


def _is_rare(record: logging.LogRecord) -> bool:
    """The hub has a line or two for every task and question; a search has hundreds a second."""
    return record.levelno > logging.INFO or not str(record.msg).startswith(_FREQUENT)


def _outlive_supervisor() -> None:
    """Take back that the kernel kills this process together with its supervisor."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, 0)


def _start_supervisor(folder: Path, words: Sequence[str]) -> None:
    """Start a supervisor whose controller takes over, and note where it is."""
    process = subprocess.Popen(
        [*controller_command(), *words], stdin=subprocess.DEVNULL, start_new_session=True
    )
    described = folder / "cluster.json"
    replace(Description.read(described), controller_pid=process.pid).write(described)


def _start(child: Any) -> int:
    """Start a scheduler; its process id."""
    child.start()
    process = getattr(child, "launcher", child)
    return int(process.pid)
