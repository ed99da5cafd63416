"""What this process's GPU does, as NVIDIA's management library tells it (package nvidia-ml-py)."""

from __future__ import annotations

import importlib
import math
import os
import time
from collections.abc import Callable
from functools import cache
from typing import Any

Usage = tuple[float, float]
NO_GPU: Usage = (math.nan, math.nan)
_EVERY_S = 1.0


class Meter:
    """Tells how busy the GPU is that this rank has claimed (``_devices.claim``).

    Args:
        clock_s: seconds from any moment on.
    """

    def __init__(self, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._clock_s = clock_s
        self._asked_s = -math.inf
        self._last = NO_GPU

    def usage(self) -> Usage:
        """Percent of the time in which it computed, bytes of its memory in use; at most a second
        old. NaN twice without a GPU or without the library.
        """
        now_s = self._clock_s()
        if now_s - self._asked_s >= _EVERY_S:
            self._asked_s = now_s
            self._last = _ask(os.environ.get("IDL_GPU", ""))
        return self._last


def _ask(name: str) -> Usage:
    nvml = _library() if name else None
    if nvml is None:
        return NO_GPU
    try:
        find = nvml.nvmlDeviceGetHandleByIndex if name.isdigit() else nvml.nvmlDeviceGetHandleByUUID
        device = find(int(name) if name.isdigit() else name)
        busy = nvml.nvmlDeviceGetUtilizationRates(device)
        memory = nvml.nvmlDeviceGetMemoryInfo(device)
    except nvml.NVMLError:  # a part of a GPU (MIG), or a driver that does not tell
        return NO_GPU
    return float(busy.gpu), float(memory.used)


@cache
def _library() -> Any:
    """``pynvml``, ready to be asked; None where it is not installed or finds no driver."""
    try:
        nvml = importlib.import_module("pynvml")
    except ImportError:
        return None
    try:
        nvml.nvmlInit()
    except nvml.NVMLError:
        return None
    return nvml
