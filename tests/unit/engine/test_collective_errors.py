"""Which exceptions mean that a collective ended because of another rank."""

from __future__ import annotations

import pytest

from interactive_dl.engine import _horovod, failures
from interactive_dl.errors import DriftError, PeerFailedError


def error(name: str, module: str, text: str) -> Exception:
    """An exception as a framework would raise it, without loading the framework."""
    return type(name, (Exception,), {"__module__": module})(text)


@pytest.mark.parametrize(
    "raised",
    [
        error("HorovodInternalError", "horovod.common.exceptions", "MPI_AllReduce failed"),
        error("UnknownError", "tensorflow.python.framework.errors_impl", "Horovod has been shut"),
    ],
)
def test_horovods_errors_are_known_from_both_frameworks(raised: Exception) -> None:
    assert _horovod.is_collective_error(raised)
    assert failures.ended_by_peer(raised)


@pytest.mark.parametrize(
    "raised",
    [
        error("UnknownError", "tensorflow.python.framework.errors_impl", "no such file"),
        ValueError("Horovod is a folk dance"),
        KeyboardInterrupt(),
    ],
)
def test_errors_of_ones_own_are_not_taken_for_them(raised: BaseException) -> None:
    assert not _horovod.is_collective_error(raised)
    assert not failures.ended_by_peer(raised)


def test_a_groups_own_collective_ends_by_a_peer_too() -> None:
    assert failures.ended_by_peer(PeerFailedError("rank 1 left"))
    assert not failures.ended_by_peer(DriftError("the ranks differ"))
