"""A follow-on job that is waited for: whoever comes after knows of it."""

from __future__ import annotations

import asyncio
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from interactive_dl.cluster import _renewal
from interactive_dl.cluster._allocation import Allocation
from interactive_dl.cluster._description import Description, Options
from interactive_dl.cluster._places import Places
from interactive_dl.cluster.slurm import _allocation, commands
from interactive_dl.cluster.slurm._allocation import SlurmAllocation
from interactive_dl.cluster.slurm.request import Request
from interactive_dl.errors import AllocationError, AllocationRefusedError

if TYPE_CHECKING:
    from interactive_dl.cluster._client import Client

OPTIONS = Options(1, where="slurm", request=asdict(Request()))


@pytest.fixture
def places(tmp_path: Path) -> Places:
    """Of a cluster whose engines run in job 7."""
    found = Places("x", tmp_path)
    found.folder.mkdir(parents=True)
    Description("x", "host", OPTIONS, 1.5, job=7).write(found.description)
    return found


def test_its_number_is_on_disk_while_it_is_waited_for(places: Places) -> None:
    async def start_engines(_: None, described: Description) -> Description:
        return replace(described, job=8)

    async def await_granted() -> None:
        told = Description.read(places.description)
        raise AllocationError(f"Job {told.follow_on} waits, after {told.job}.")

    follow_on = SimpleNamespace(start_engines=start_engines, await_granted=await_granted)
    waiting = _renewal.open_room(
        cast("Allocation", follow_on), cast("Client", None), places, OPTIONS
    )
    with pytest.raises(AllocationError, match="Job 8 waits, after 7"):
        asyncio.run(waiting)


def test_the_end_of_a_cluster_is_its_end(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    cancelled: list[int] = []
    monkeypatch.setattr(_allocation, "_cancel", cancelled.append)
    _renewal.note_follow_on(places, 8)
    asyncio.run(SlurmAllocation(places, OPTIONS).end())
    assert cancelled == [7, 8]


def test_one_that_is_refused_ends_nothing(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Path) -> int:
        raise AllocationRefusedError("No such partition.")

    cancelled: list[int] = []
    monkeypatch.setattr(_allocation, "_cancel", cancelled.append)
    monkeypatch.setattr(commands, "submit", refuse)
    follow_on = SlurmAllocation(places, OPTIONS)
    described = Description.read(places.description)
    with pytest.raises(AllocationRefusedError):
        asyncio.run(follow_on.start_engines(None, described))
    asyncio.run(follow_on.end())
    assert cancelled == []


def test_who_attaches_is_told_of_it(
    places: Places, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(_allocation, "WATCH", SimpleNamespace(add=lambda _: None))
    SlurmAllocation(places, OPTIONS).follow()
    assert not caplog.text
    _renewal.note_follow_on(places, 8)
    SlurmAllocation(places, OPTIONS).follow()
    assert "Job 8 was asked for to go on in" in caplog.text
