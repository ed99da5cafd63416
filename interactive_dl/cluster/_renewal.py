"""A follow-on allocation under the same controller: asked for, waited for, moved to."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from interactive_dl.cluster import _elsewhere, _processes, _starting, resuming
from interactive_dl.cluster._allocation import Allocation
from interactive_dl.cluster._description import Description, Options
from interactive_dl.cluster._places import Places
from interactive_dl.errors import RecorderRefusedError, RecorderUnreachableError, WorldSizeError
from interactive_dl.telemetry import _address, exits, identity, journal, wire
from interactive_dl.telemetry.feed import ask

if TYPE_CHECKING:
    from interactive_dl.cluster._client import Client

_LOG = logging.getLogger("interactive_dl.cluster")
_DRIVER = "interactive_dl.search.driver"
_SEARCHES = "interactive_dl.search.resuming"
_ASK_S = 5.0
_LEAVE_S = 60.0
_SEARCHES_S = 180.0
_POLL_S = 0.1
_GIVEN_UP = (
    "The allocation is not renewed. What had already been asked to leave its engines writes a"
    " checkpoint and stops, and goes on with the next: cluster.renew()"
)


async def open_room(
    follow_on: Allocation, client: Client, places: Places, options: Options
) -> tuple[Description, tuple[int, ...]]:
    """Ask for an allocation and wait for its engines; what runs elsewhere is not touched.

    Returns:
        The cluster's description with the new allocation, not written yet; ids of the new engines,
        by rank.

    Raises:
        AllocationError: there will be none, or it ended before its engines came.
        EnginesNotRegisteredError: its engines did not come.
        WorldSizeError: they are not one world.
    """
    described = replace(Description.read(places.description), options=options)
    described = await follow_on.start_engines(None, described)
    # Whoever waits for it may end before it comes.
    note_follow_on(places, described.job)
    await follow_on.await_granted()
    ids = await _starting.await_engines_of(
        follow_on, client, places, follow_on.world, options.start_timeout_s
    )
    sizes = {len(exits.births(places.folder)[engine].world) for engine in ids}
    if sizes != {len(ids)}:
        raise WorldSizeError(
            f"{len(ids)} engines must form one MPI world, but theirs have sizes {sorted(sizes)}."
            " Type: idl doctor"
        )
    return described, ids


def note_follow_on(places: Places, job: int) -> None:
    """Leave word of a job that is waited for; 0 where none is any more."""
    with contextlib.suppress(FileNotFoundError):  # the cluster may have been stopped
        replace(Description.read(places.description), follow_on=job).write(places.description)


@contextlib.asynccontextmanager
async def cleared(places: Places, runs: Path, gone: Sequence[int]) -> AsyncIterator[None]:
    """Have all that runs on engines let go of them, after a checkpoint, and wait for it.

    Where that is interrupted, or what is done then fails, engines may be used again.
    """
    running = [one.run for one in resuming.unfinished(runs, places.folder, gone)]
    who = f"{identity.who()}, who renews the allocation"
    question = wire.Vacate(1, who, tuple(gone))
    telling = asyncio.create_task(asyncio.to_thread(_tell, places, question))
    try:
        if problem := await asyncio.shield(telling):
            _LOG.warning("What runs on the old engines ends without a checkpoint: %s", problem)
        else:
            await _await_leaving(places, runs, running)
        yield
    except BaseException:
        await telling  # what is said last counts
        given_back = msgspec.structs.replace(question, in_s=math.inf)
        if problem := await asyncio.to_thread(_tell, places, given_back):
            _LOG.warning("What begins on the engines now is told to leave them: %s", problem)
        _LOG.warning(_GIVEN_UP)
        raise


def _tell(places: Places, question: wire.Vacate) -> str:
    """Tell the recorder; why it has not heard, where it has not."""
    try:
        ask(_address.read(places.folder), question, _ASK_S)
    except (RecorderUnreachableError, RecorderRefusedError) as error:
        return str(error)
    return ""


async def _await_leaving(places: Places, runs: Path, running: Sequence[str]) -> None:
    deadline_s = time.monotonic() + _LEAVE_S
    while not _have_left(places, runs, running):
        if time.monotonic() > deadline_s:
            _LOG.warning("What runs on the old engines has not left them within %g s.", _LEAVE_S)
            return
        await asyncio.sleep(_POLL_S)


def _have_left(places: Places, runs: Path, running: Sequence[str]) -> bool:
    """Whether runs have ended, and searches are run by nobody any more."""
    if any(journal.outcome(journal.path_of(runs, run)) is None for run in running):
        return False
    if _elsewhere.is_elsewhere(places):
        return not _running_searches(places, runs)
    return not any(_processes.has(one, _DRIVER) for one in _processes.marked(places.folder))


def _running_searches(places: Places, runs: Path) -> list[str]:
    """As their journals tell: their processes are on another host."""
    return [
        search
        for search, path in journal.programs(runs).items()
        if journal.header(path).cluster == str(places.folder) and journal.outcome(path) is None
    ]


def give_back(places: Places, gone: Sequence[int]) -> None:
    """Leave word that engines end because nobody needs them any more."""
    told, births = exits.exits(places.folder), exits.births(places.folder)
    for engine in set(gone) - set(told):
        exits.record_loss(places.folder, births[engine], exits.GIVEN_BACK)


def move(client: Client, places: Places, engines: Sequence[int], gone: Sequence[int]) -> str:
    """Let runs and searches go on, on new engines.

    Args:
        client: connected to the controller.
        places: of the cluster, whose description has the new allocation.
        engines: ids of the new ones, by rank.
        gone: ids of the old ones, which have ended.

    Returns:
        What has come of it, and what is left to a person.
    """
    resuming.forget(client, gone)
    resumed, left = resuming.resume(client, places, engines, gone)
    # The search's room is above this one: its programs are started, not imported.
    searches = subprocess.run(
        [sys.executable, "-m", _SEARCHES, "--cluster", places.cluster_id],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_SEARCHES_S,
        check=False,
    )
    if searches.returncode != 0:
        _LOG.warning("%s", searches.stderr or searches.stdout)
    return f"{resuming.words(resumed, left)} {searches.stdout}".strip()
