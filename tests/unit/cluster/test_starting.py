"""Worlds that are not what was asked for, told from what the engines and mpiexec left on disk."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace

import pytest

from interactive_dl.cluster import _starting
from interactive_dl.cluster._places import Places
from interactive_dl.cluster._values import State
from interactive_dl.errors import (
    AllocationError,
    EnginesNotRegisteredError,
    NotEnoughSlotsError,
    WorldSizeError,
)
from interactive_dl.telemetry import exits


@pytest.fixture
def places(tmp_path: Path) -> Places:
    found = Places("x", tmp_path)
    found.folder.mkdir(parents=True)
    return found


def _born(places: Places, engine: int, rank: int, size: int) -> None:
    birth = exits.Birth(engine, rank, tuple(range(size)), "host", 7, 6)
    exits.record_birth(places.folder, birth)


def _client(*ids: int) -> SimpleNamespace:
    return SimpleNamespace(ids=list(ids))


def _await_two(places: Places, *registered: int, is_over: bool = False) -> None:
    waiting = _starting.await_engines(
        _client(*registered), places, range(2), 60.0, is_over=lambda: is_over, size=2
    )
    asyncio.run(waiting)


def test_a_world_as_asked_for_passes(places: Places) -> None:
    for engine in range(2):
        _born(places, engine, engine, 2)
    _await_two(places, 0, 1)
    _starting.check_world(places, _client(1, 0), 2)


def test_engines_that_are_each_alone_are_the_size_1_trap(places: Places) -> None:
    for engine in range(2):
        _born(places, engine, 0, 1)
    with pytest.raises(WorldSizeError, match="alone in a world of size 1.*another MPI.*doctor"):
        _starting.check_world(places, _client(0, 1), 2)


@pytest.mark.parametrize(
    ("sizes", "ranks", "told"),
    [
        ((2, 3), (0, 1), r"sizes \[2, 3\]"),
        ((3, 3), (0, 1), r"sizes \[3\]"),
        ((2, 2), (1, 0), r"ranks by id are \{0: 1, 1: 0\}"),
    ],
)
def test_a_world_of_another_size_or_order_is_told_with_what_mpi_said(
    places: Places, sizes: tuple[int, int], ranks: tuple[int, int], told: str
) -> None:
    for engine in range(2):
        _born(places, engine, ranks[engine], sizes[engine])
    with pytest.raises(WorldSizeError, match=f"{told}.*idl doctor"):
        _starting.check_world(places, _client(0, 1), 2)


def test_engines_with_other_ids_than_the_ranks_are_told(places: Places) -> None:
    _born(places, 0, 0, 2)
    _born(places, 1, 1, 2)
    with pytest.raises(WorldSizeError, match=r"the ids are \[0, 4\]"):
        _starting.check_world(places, _client(0, 4), 2)


def test_a_birth_in_a_world_of_size_1_ends_the_wait_though_its_engine_died(places: Places) -> None:
    _born(places, 1, 0, 1)
    exits.record_exit(places.folder, exits.Exit(1, "host", 7, 1, None, 12.5, 1))
    with pytest.raises(WorldSizeError, match="world of size 1"):
        _await_two(places, is_over=True)


@pytest.mark.parametrize("ids", [(), (4, 5)])
def test_an_allocation_that_ends_early_says_why(places: Places, ids: tuple[int, ...]) -> None:
    allocation = SimpleNamespace(is_over=lambda: True, outcome=State("failed", "Job 8 failed."))
    waiting = _starting.await_engines_of(allocation, _client(0, 1), places, lambda: ids, 60.0)
    with pytest.raises(AllocationError, match=r"Job 8 failed\."):
        asyncio.run(waiting)


def test_one_that_does_not_say_why_leaves_it_at_what_was_seen(places: Places) -> None:
    allocation = SimpleNamespace(is_over=lambda: True, outcome=None)
    waiting = _starting.await_engines_of(allocation, _client(0), places, lambda: (4, 5), 60.0)
    with pytest.raises(EnginesNotRegisteredError, match=r"\[4, 5\] did not"):
        asyncio.run(waiting)


def test_ids_of_engines_are_awaited_before_their_registration(places: Places) -> None:
    allocation = SimpleNamespace(is_over=lambda: False, outcome=None)
    told = iter([(), (4, 5)])
    waiting = _starting.await_engines_of(
        allocation, _client(4, 5), places, lambda: next(told), 60.0
    )
    assert asyncio.run(waiting) == (4, 5)


def test_an_mpiexec_that_refuses_is_answered_with_fewer_engines_or_shared_cores(
    places: Places,
) -> None:
    (places.folder / "mpiexec.log").write_text(
        "-----\nThere are not enough slots available in the system to satisfy the 2\nslots\n"
    )
    with pytest.raises(NotEnoughSlotsError, match="the 2 engines.*oversubscribe=True"):
        _await_two(places, is_over=True)


def test_an_mpiexec_that_ends_otherwise_shows_its_last_words(places: Places) -> None:
    (places.folder / "mpiexec.log").write_text("no such program\n")
    with pytest.raises(EnginesNotRegisteredError, match=r"\[0, 1\] did not[^~]*no such program"):
        _await_two(places, is_over=True)
