"""What a GPU does, told by a stand-in for NVIDIA's library."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from interactive_dl.engine import _gpu


class NVMLError(Exception):
    pass


class Library:
    """Two GPUs, of which the second belongs to this rank."""

    NVMLError = NVMLError

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.is_broken = False

    def nvmlInit(self) -> None:
        if self.is_broken:
            raise NVMLError

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        self.asked.append(index)
        return index

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> int:
        self.asked.append(uuid)
        return 1

    def nvmlDeviceGetUtilizationRates(self, device: int) -> SimpleNamespace:
        if device != 1:
            raise NVMLError
        return SimpleNamespace(gpu=70)

    def nvmlDeviceGetMemoryInfo(self, device: int) -> SimpleNamespace:
        return SimpleNamespace(used=5 * 2**30)


@pytest.fixture(autouse=True)
def library(monkeypatch: pytest.MonkeyPatch) -> Iterator[Library]:
    library = Library()
    monkeypatch.setitem(sys.modules, "pynvml", library)  # type: ignore[arg-type]
    monkeypatch.setenv("IDL_GPU", "1")
    _gpu._library.cache_clear()
    yield library
    _gpu._library.cache_clear()


@pytest.mark.parametrize("name", ["1", "GPU-6ba7b810"])
def test_the_claimed_gpu_is_asked_by_index_or_uuid(
    library: Library, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("IDL_GPU", name)
    assert _gpu.Meter().usage() == (70.0, 5 * 2**30)
    assert library.asked == [int(name) if name.isdigit() else name]


def test_it_is_not_asked_more_often_than_once_a_second(library: Library) -> None:
    times_s = iter((0.0, 0.2, 0.9, 1.1, 1.9))
    meter = _gpu.Meter(lambda: next(times_s))
    for _ in range(5):
        assert meter.usage() == (70.0, 5 * 2**30)
    assert len(library.asked) == 2


def test_without_a_gpu_nothing_is_told(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("IDL_GPU")
    assert all(map(math.isnan, _gpu.Meter().usage()))
    assert not library.asked


def test_without_the_library_nothing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)  # type: ignore[arg-type]
    assert all(map(math.isnan, _gpu.Meter().usage()))


@pytest.mark.parametrize("gpu", ["0", "1"])
def test_a_driver_that_does_not_answer_costs_nothing(
    library: Library, monkeypatch: pytest.MonkeyPatch, gpu: str
) -> None:
    library.is_broken = gpu == "1"
    monkeypatch.setenv("IDL_GPU", gpu)
    assert all(map(math.isnan, _gpu.Meter().usage()))
