"""The variables from which Horovod takes how it gathers tensors."""

from __future__ import annotations

import os
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from interactive_dl.engine import Tuning, _horovod, _tuning
from interactive_dl.errors import GroupError

OWN = ("FUSION_THRESHOLD", "CYCLE_TIME", "CACHE_CAPACITY", "AUTOTUNE", "AUTOTUNE_LOG")


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in OWN:  # set first, so that they are as before afterwards
        monkeypatch.setenv(f"HOROVOD_{name}", "")
        monkeypatch.delenv(f"HOROVOD_{name}")


def test_what_is_left_out_is_left_to_horovod() -> None:
    assert Tuning().environment() == {}
    assert Tuning(autotune_log="tried.csv").environment() == {}


def test_sizes_are_told_in_bytes_and_times_in_milliseconds() -> None:
    tuning = Tuning(fusion_mb=0.5, cycle_ms=2.5, cache=0, autotune=True, autotune_log="tried.csv")
    assert tuning.environment() == {
        "HOROVOD_FUSION_THRESHOLD": "524288",
        "HOROVOD_CYCLE_TIME": "2.5",
        "HOROVOD_CACHE_CAPACITY": "0",
        "HOROVOD_AUTOTUNE": "1",
        "HOROVOD_AUTOTUNE_LOG": "tried.csv",
    }


def test_a_search_for_the_best_leaves_the_cache_alone() -> None:
    assert Tuning(autotune=True).environment()["HOROVOD_CACHE_CAPACITY"] == "1024"


def test_another_tuning_replaces_the_one_before() -> None:
    assert Tuning(fusion_mb=1, cycle_ms=2).apply()
    assert not Tuning(fusion_mb=1, cycle_ms=2).apply()
    assert Tuning(cycle_ms=2).apply()
    assert "HOROVOD_FUSION_THRESHOLD" not in os.environ
    assert os.environ["HOROVOD_CYCLE_TIME"] == "2"


def test_what_is_below_zero_is_refused() -> None:
    with pytest.raises(ValueError, match="`cycle_ms >= 0` must hold, but got -1"):
        Tuning(cycle_ms=-1)


class Links:
    """Links of a group whose rank 0 is tuned so; they note what Horovod would have read."""

    def __init__(self, tuned: dict[str, str]) -> None:
        self._tuned = tuned
        self.started_with: list[dict[str, str]] = []

    def broadcast(self, value: Any, root: int) -> Any:
        return self._tuned

    def start_horovod(self, hvd: ModuleType) -> None:
        self.started_with.append(_tuning.variables())


def start(monkeypatch: pytest.MonkeyPatch, version: str, tuned: dict[str, str]) -> Links:
    monkeypatch.setitem(sys.modules, "horovod", SimpleNamespace(__version__=version))
    library = SimpleNamespace(is_initialized=lambda: False)
    monkeypatch.setitem(sys.modules, "horovod.torch", library)
    links = Links(tuned)
    _horovod.start("torch", links)
    return links


def test_a_rank_is_tuned_as_rank_0_is(monkeypatch: pytest.MonkeyPatch) -> None:
    Tuning(fusion_mb=1, cache=5).apply()
    tuned = Tuning(cycle_ms=2).environment()
    assert start(monkeypatch, "0.28.1+idl1", tuned).started_with == [tuned]


def test_only_a_horovod_that_can_be_started_again_is_tuned(monkeypatch: pytest.MonkeyPatch) -> None:
    assert start(monkeypatch, "0.28.1", {}).started_with == [{}]
    with pytest.raises(GroupError, match=r"but 0\.28\.1 is installed.*HOROVOD_CYCLE_TIME.*setup"):
        start(monkeypatch, "0.28.1", Tuning(cycle_ms=2).environment())
