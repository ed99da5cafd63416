"""What the engines' processes on this host use."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from typing import TYPE_CHECKING

import psutil

from interactive_dl_widgets.views.engines import Load

if TYPE_CHECKING:
    from interactive_dl.cluster import Engine


class LocalLoads:
    """Measures the engines of this host; each measurement is since the one before."""

    def __init__(self) -> None:
        self._processes: dict[int, psutil.Process] = {}

    def measure(self, engines: Iterable[Engine]) -> dict[int, Load]:
        """Loads by engine id; engines of other hosts are left out."""
        here = [one for one in engines if one.host == socket.gethostname()]
        known, self._processes = self._processes, {}
        loads = {}
        for one in here:
            try:
                process = known.get(one.pid) or psutil.Process(one.pid)
                loads[one.id] = Load(process.cpu_percent(), process.memory_info().rss)
            except psutil.NoSuchProcess:
                continue
            self._processes[one.pid] = process
        return loads
