"""The variables from which Horovod takes how it gathers tensors."""

from __future__ import annotations

import os

import pytest

from interactive_dl.engine import Tuning, _tuning

OWN = ("FUSION_THRESHOLD", "CYCLE_TIME", "CACHE_CAPACITY", "AUTOTUNE", "AUTOTUNE_LOG")


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in OWN:  # set first, so that they are as before afterwards
        monkeypatch.setenv(f"HOROVOD_{name}", "")
        monkeypatch.delenv(f"HOROVOD_{name}")


def test_what_is_left_out_is_left_to_horovod() -> None:
    assert Tuning().environment() == {}
    assert Tuning(autotune_log="tried.csv").environment() == {}


@pytest.mark.parametrize(
    ("tunings", "can_start_again"),
    [
        ((Tuning(), Tuning(cache=1)), True),
        ((Tuning(cycle_ms=1), Tuning()), True),
        ((Tuning(fusion_mb=1), Tuning(fusion_mb=2)), True),
        ((Tuning(fusion_mb=1, cycle_ms=1),), False),
        ((Tuning(fusion_mb=1), Tuning(cycle_ms=1)), False),
        ((Tuning(autotune=True),), False),
    ],
)
def test_horovod_starts_again_while_something_is_open(
    tunings: tuple[Tuning, ...], can_start_again: bool
) -> None:
    settled: frozenset[str] = frozenset()
    for tuning in tunings:
        assert _tuning.is_open(settled)
        tuning.apply()
        settled |= _tuning.settled()
    assert _tuning.is_open(settled) == can_start_again


def test_sizes_are_told_in_bytes_and_times_in_milliseconds() -> None:
    tuning = Tuning(fusion_mb=0.5, cycle_ms=2.5, cache=0, autotune=True, autotune_log="tried.csv")
    assert tuning.environment() == {
        "HOROVOD_FUSION_THRESHOLD": "524288",
        "HOROVOD_CYCLE_TIME": "2.5",
        "HOROVOD_CACHE_CAPACITY": "0",
        "HOROVOD_AUTOTUNE": "1",
        "HOROVOD_AUTOTUNE_LOG": "tried.csv",
    }


def test_another_tuning_replaces_the_one_before() -> None:
    assert Tuning(fusion_mb=1, cycle_ms=2).apply()
    assert not Tuning(fusion_mb=1, cycle_ms=2).apply()
    assert Tuning(cycle_ms=2).apply()
    assert os.environ["HOROVOD_FUSION_THRESHOLD"] == str(128 * 2**20)
    assert os.environ["HOROVOD_CYCLE_TIME"] == "2"


def test_what_is_below_zero_is_refused() -> None:
    with pytest.raises(ValueError, match="`cycle_ms >= 0` must hold, but got -1"):
        Tuning(cycle_ms=-1)
