"""A follow-on job that is waited for: whoever comes after knows of it."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import math
import threading
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import msgspec
import pytest

from interactive_dl.cluster import _renewal
from interactive_dl.cluster._allocation import Allocation
from interactive_dl.cluster._description import Description, Options
from interactive_dl.cluster._places import Places
from interactive_dl.cluster.slurm import _allocation, commands
from interactive_dl.cluster.slurm._allocation import SlurmAllocation
from interactive_dl.cluster.slurm.jobs import Job
from interactive_dl.cluster.slurm.request import Request
from interactive_dl.errors import AllocationError, AllocationRefusedError, RequestError
from interactive_dl.telemetry import _address, wire

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


@pytest.mark.parametrize(("job", "is_free"), [(None, False), ("PENDING", False), ("FAILED", True)])
def test_there_is_one_at_a_time(
    places: Places, monkeypatch: pytest.MonkeyPatch, job: str | None, is_free: bool
) -> None:
    told = None if job is None else Job(8, job)
    monkeypatch.setattr(_allocation, "look_once", lambda _: told)
    allocation = SlurmAllocation(places, OPTIONS)
    assert allocation.renewed({"nodes": 2}).engines == 2
    _renewal.note_follow_on(places, 8)
    refused = pytest.raises(RequestError, match="job 8 was asked for already.*scancel 8")
    with contextlib.nullcontext() if is_free else refused:
        assert allocation.renewed({"nodes": 2}).engines == 2


class _Recorder:
    """Hears what is said to it; what is said first, only after it is let."""

    def __init__(self) -> None:
        self.heard: list[wire.Vacate] = []
        self.is_let = threading.Event()
        self._calls = itertools.count()

    def ask(self, _address: object, message: wire.Vacate, _timeout_s: float) -> None:
        assert next(self._calls) > 0 or self.is_let.wait(10.0)
        self.heard.append(message)


@pytest.fixture
def recorder(places: Places, monkeypatch: pytest.MonkeyPatch) -> _Recorder:
    found = _Recorder()
    _address.write(places.folder, _address.Address("tcp://127.0.0.1:1", "", "", ""))
    monkeypatch.setattr(_renewal, "ask", found.ask)
    return found


@pytest.mark.parametrize("when", ["it is told", "runs leave", "it is done"])
def test_engines_are_given_back_where_a_renewal_is_interrupted(
    places: Places, monkeypatch: pytest.MonkeyPatch, recorder: _Recorder, when: str
) -> None:
    monkeypatch.setattr(_renewal, "_have_left", lambda *_: when == "it is done")

    async def renew(reached: asyncio.Event) -> None:
        async with _renewal.cleared(places, places.folder / "runs", (0, 1)):
            reached.set()
            await asyncio.sleep(10.0)

    async def interrupt() -> None:
        reached = asyncio.Event()
        renewing = asyncio.create_task(renew(reached))
        if when == "it is told":
            await asyncio.sleep(0)
            asyncio.get_running_loop().call_later(0.05, recorder.is_let.set)
        else:
            recorder.is_let.set()
            await _until(lambda: bool(recorder.heard))
        if when == "it is done":
            await reached.wait()
        renewing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await renewing

    asyncio.run(interrupt())
    taken, given_back = recorder.heard
    assert (taken.engines, taken.in_s) == ((0, 1), 0.0)
    assert given_back == msgspec.structs.replace(taken, in_s=math.inf)


def test_engines_that_are_left_in_order_stay_so(
    places: Places, monkeypatch: pytest.MonkeyPatch, recorder: _Recorder
) -> None:
    async def renew() -> None:
        async with _renewal.cleared(places, places.folder / "runs", (0, 1)):
            assert len(recorder.heard) == 1

    monkeypatch.setattr(_renewal, "_have_left", lambda *_: True)
    recorder.is_let.set()
    asyncio.run(renew())
    assert len(recorder.heard) == 1


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10.0):
        while not condition():
            await asyncio.sleep(0.01)
