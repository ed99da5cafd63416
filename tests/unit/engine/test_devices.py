"""Which GPU a process gets, told without any GPU."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

import pytest

from interactive_dl.engine import _devices
from interactive_dl.errors import GroupError


@pytest.fixture(autouse=True)
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """GPUs 4 and 7, as a scheduler gives them; what TensorFlow was told to use."""
    restricted_to: list[int] = []
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    # Set first, so that what a test makes of it is undone.
    monkeypatch.setenv("IDL_GPU", "")
    monkeypatch.delenv("IDL_GPU")
    monkeypatch.setattr(_devices, "_cuda_is_open", lambda: False)
    monkeypatch.setattr(_devices, "_restrict_tensorflow", restricted_to.append)
    _devices.visible_gpus.cache_clear()
    yield restricted_to
    _devices.visible_gpus.cache_clear()


@pytest.mark.parametrize(("local_rank", "gpu"), [(0, "4"), (1, "7"), (2, "4")])
def test_each_local_rank_is_shown_one_gpu(local_rank: int, gpu: str) -> None:
    _devices.claim(local_rank)
    assert os.environ["CUDA_VISIBLE_DEVICES"] == gpu


def test_tensorflow_that_was_imported_before_is_told_the_same_one(
    two_gpus: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorflow", object())
    _devices.claim(1)
    assert two_gpus == [1]


def test_a_gpu_is_kept_through_every_later_group() -> None:
    _devices.claim(1)
    _devices.claim(0)
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "7"


def test_no_gpu_is_chosen_where_there_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    _devices.claim(1)
    assert "IDL_GPU" not in os.environ


def test_gpus_that_are_open_already_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_devices, "_cuda_is_open", lambda: True)
    with pytest.raises(GroupError, match=r"cluster\.restart\(\)"):
        _devices.claim(0)
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "4,7"
