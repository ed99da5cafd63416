"""What Horovod is told of its place."""

from __future__ import annotations

import pytest

from interactive_dl.engine._gloo import _horovod_variables


@pytest.mark.parametrize(
    ("rank", "local", "across"),
    [(0, (0, 2), (0, 3)), (1, (1, 2), (0, 2)), (2, (0, 1), (1, 3)), (3, (0, 2), (2, 3))],
)
def test_ranks_of_one_host_are_local_and_those_of_one_local_rank_across(
    rank: int, local: tuple[int, int], across: tuple[int, int]
) -> None:
    told = _horovod_variables(rank, ["a", "a", "b", "c", "c"], ("10.0.0.1", 77))
    assert (told["HOROVOD_RANK"], told["HOROVOD_SIZE"]) == (str(rank), "5")
    assert (told["HOROVOD_LOCAL_RANK"], told["HOROVOD_LOCAL_SIZE"]) == tuple(map(str, local))
    assert (told["HOROVOD_CROSS_RANK"], told["HOROVOD_CROSS_SIZE"]) == tuple(map(str, across))
    assert told["HOROVOD_GLOO_RENDEZVOUS_ADDR"] == "10.0.0.1"
    assert told["HOROVOD_GLOO_RENDEZVOUS_PORT"] == "77"


def test_how_long_gloo_waits_can_be_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _horovod_variables(0, ["a"], ("", 0))["HOROVOD_GLOO_TIMEOUT_SECONDS"] == "5"
    monkeypatch.setenv("HOROVOD_GLOO_TIMEOUT_SECONDS", "30")
    assert _horovod_variables(0, ["a"], ("", 0))["HOROVOD_GLOO_TIMEOUT_SECONDS"] == "30"
