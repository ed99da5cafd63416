"""What the engines' processes use."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import psutil

from interactive_dl_widgets.views.engines import Load

if TYPE_CHECKING:
    from interactive_dl.cluster import Engine
    from interactive_dl.telemetry.events import Resources


class LocalLoads:
    """Measures the engines of this host; each measurement is since the one before."""

    def __init__(self) -> None:
        self._processes: dict[int, psutil.Process] = {}

    def measure(self, engines: Iterable[Engine]) -> dict[int, Load]:
        """Loads by engine id; engines of other hosts are left out."""
        here = {one.pid: one.id for one in engines if one.host == socket.gethostname()}
        self._processes = {pid: self._processes.get(pid) or _process(pid) for pid in here}
        loads = {}
        for pid, process in self._processes.items():
            try:
                loads[here[pid]] = Load(process.cpu_percent(), process.memory_info().rss)
            except psutil.NoSuchProcess:  # it died since the cluster looked
                continue
        return loads


def reported_loads(engines: tuple[int, ...], told: Resources) -> Mapping[int, Load]:
    """What a run tells of its ranks, by engine id.

    Args:
        engines: of the run's group, by rank.
        told: by rank.
    """
    gpus = zip(told.gpu_percent, told.gpu_memory_bytes, strict=True)
    by_rank = [Load(*pair) for pair in zip(told.cpu_percent, told.rss_bytes, strict=True)]
    if told.gpu_percent:
        by_rank = [
            Load(load.cpu_percent, load.rss_bytes, *gpu)
            for load, gpu in zip(by_rank, gpus, strict=True)
        ]
    return dict(zip(engines, by_rank, strict=False))


def _process(pid: int) -> psutil.Process:
    return psutil.Process(pid)
