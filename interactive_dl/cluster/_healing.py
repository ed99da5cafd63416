"""Replacing dead engines while the others keep what they have in memory.

``heal`` needs all that live, and makes one MPI world of them and the new ones. ``replace`` needs
one that is free: the others may be busy for hours, and their groups with the new engines come
later.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ipyparallel.error import RemoteError

from interactive_dl.cluster import _processes, _remote, _starting, _status
from interactive_dl.cluster._description import Description
from interactive_dl.cluster._places import Places
from interactive_dl.errors import EnginesNotRegisteredError, HealError
from interactive_dl.telemetry import exits

if TYPE_CHECKING:
    from interactive_dl.cluster._client import Client

_GROW = "interactive_dl.engine.healing:grow"
_SPONSOR = "interactive_dl.engine.healing:sponsor"
_SPAWN_TIMEOUT_S = 30.0
_QUEUES_S = 5.0
_POLL_S = 0.02


@dataclass(frozen=True)
class Plan:
    """Who lives, and which ids the replacements get: never one that was used before."""

    survivors: tuple[int, ...]
    new: tuple[int, ...]

    @property
    def world(self) -> tuple[int, ...]:
        """Engine ids of the healed world, by rank."""
        return (*self.survivors, *self.new)


def plan(places: Places, living: tuple[int, ...]) -> Plan:
    """What to do to have as many engines as were asked for.

    Raises:
        HealError: nobody is left to spawn the others.
    """
    survivors = _survivors(places, living)
    # An id is for one engine's life: should this attempt fail, the next one takes others.
    return Plan(survivors, exits.claim_ids(places.folder, _missing(places, survivors)))


def _survivors(places: Places, living: tuple[int, ...]) -> tuple[int, ...]:
    world = exits.world(places.folder)
    survivors = tuple(sorted((set(living) & set(world)) - set(exits.exits(places.folder))))
    if not survivors:
        raise HealError(
            "Living engines start the replacements of dead ones, but none of"
            f" {list(world)} lives. Type: cluster.restart()"
        )
    return survivors


def _missing(places: Places, survivors: tuple[int, ...]) -> int:
    if _status.starts_again_whole(places):
        return 0  # those that are not there yet are on their way
    return max(0, _status.size(places) - len(survivors))


async def heal(client: Client, places: Places, *, timeout_s: float) -> None:
    """Replace the dead, unite the worlds of the living; ``cluster.heal`` says the rest."""
    if Description.read(places.description).options.collectives == "gloo":
        # There are no worlds to unite, so that one engine will do.
        await replace(client, places, timeout_s=timeout_s)
        return
    chosen = plan(places, tuple(client.ids))
    if not chosen.new and exits.is_united(places.folder, chosen.survivors):
        return
    _check(places)
    try:
        await _grow(client, places, chosen, timeout_s)
        await _starting.await_engines(
            client, places, chosen.new, _SPAWN_TIMEOUT_S, is_over=lambda: False
        )
    except (HealError, EnginesNotRegisteredError) as error:
        words = f"--world {','.join(map(str, chosen.world))}"
        if chosen.new:
            await asyncio.to_thread(_end_half_born, places, [words])
        raise HealError(str(error)) from error


async def replace(
    client: Client, places: Places, *, sponsor: int | None = None, timeout_s: float = 10.0
) -> tuple[int, ...]:
    """Replace the dead through one free engine, while the others are busy.

    Groups that have new engines among their members connect to them when they are formed;
    ``heal`` unites them all at once.

    Args:
        client: connected to the controller.
        places: of the cluster.
        sponsor: id of the free engine; by default any.
        timeout_s: how long the sponsor may be busy after all.

    Returns:
        Ids of the new engines; none where nobody had died.

    Raises:
        HealError: no engine is free, or the new ones did not come up.
    """
    survivors = _survivors(places, tuple(client.ids))
    missing = _missing(places, survivors)
    if not missing:
        return ()
    _check(places)
    if sponsor is None:
        sponsor = await asyncio.to_thread(_free_engine, client, survivors)
    new = exits.claim_ids(places.folder, missing)
    try:
        await _sponsor(client, places, sponsor, new, timeout_s)
        await _starting.await_engines(client, places, new, _SPAWN_TIMEOUT_S, is_over=lambda: False)
    except (HealError, EnginesNotRegisteredError) as error:
        words = [f"--id {engine} --world {engine}" for engine in new]
        await asyncio.to_thread(_end_half_born, places, words)
        raise HealError(str(error)) from error
    return new


def _check(places: Places) -> None:
    if broken := _status.what_ended(places):
        raise HealError(f"Dead engines were not replaced. {broken} Type: cluster.restart()")


def _free_engine(client: Client, living: tuple[int, ...]) -> int:
    try:
        queues = client.ask_queues().result(_QUEUES_S)["content"]
    except TimeoutError as error:
        raise HealError(
            "A free engine starts the replacements of dead ones, but the controller has not said"
            f" within {_QUEUES_S:g} s which is free; it may be restarting. Type"
            " cluster.heal(wait_for_busy=False) again in a moment."
        ) from error
    for engine in living:
        counts = queues.get(str(engine))
        if counts and not counts["queue"] and not counts["tasks"]:
            return engine
    raise HealError(
        f"A free engine starts the replacements of dead ones, but {list(living)} are all busy. Type"
        " cluster.heal(wait_for_busy=False) again when one of them is free. A training that goes on"
        " takes new engines in with run.grow()."
    )


async def _sponsor(
    client: Client, places: Places, sponsor: int, new: tuple[int, ...], timeout_s: float
) -> None:
    view = client.direct_view([sponsor])
    spawning = view.apply_async(_remote.call, _SPONSOR, new, str(places.folder))
    deadline_s = time.monotonic() + timeout_s
    while not spawning.ready() and time.monotonic() < deadline_s:
        await asyncio.sleep(_POLL_S)
    if not spawning.ready():
        await asyncio.to_thread(client.abort, spawning.msg_ids, block=False)
        raise HealError(
            f"Dead engines were not replaced: engine {sponsor}, which was to start the new ones,"
            f" did not within {timeout_s:g} s. Type cluster.heal(wait_for_busy=False) again when an"
            " engine is free."
        )
    failed = _failure(spawning._children[0])
    if failed is not None:
        told = failed.evalue if isinstance(failed, RemoteError) else failed
        raise HealError(f"Dead engines were not replaced. {told}")


async def _grow(client: Client, places: Places, chosen: Plan, timeout_s: float) -> None:
    view = client.direct_view(list(chosen.survivors))
    growing = view.apply_async(
        _remote.call, _GROW, chosen.survivors, chosen.new, str(places.folder), timeout_s=timeout_s
    )
    deadline_s = time.monotonic() + timeout_s + _SPAWN_TIMEOUT_S
    while not _is_decided(growing) and time.monotonic() < deadline_s:
        await asyncio.sleep(_POLL_S)
    if growing.ready() and growing.successful():
        return
    # A busy engine must not begin, when it is free again, what the others have given up.
    await asyncio.to_thread(client.abort, growing.msg_ids, block=False)
    raise HealError(_why_not(growing, chosen))


def _is_decided(growing: Any) -> bool:
    """Whether all are done, or one has failed and the others will not get further."""
    return growing.ready() or any(
        future.done() and _failure(future) is not None for future in growing._children
    )


def _failure(future: Any) -> BaseException | None:
    result = future.result()
    return result if isinstance(result, BaseException) else None


def _why_not(growing: Any, chosen: Plan) -> str:
    failures = [_failure(future) for future in growing._children if future.done()]
    told = [error for error in failures if isinstance(error, RemoteError)]
    if told:
        return (
            f"Dead engines were not replaced. {told[0].evalue} Then type: cluster.heal() again, or"
            " cluster.restart() for fresh engines. cluster.heal(wait_for_busy=False) needs one"
            " engine that is free. A training that goes on takes new engines in with run.grow()."
        )
    silent = [
        engine
        for engine, future in zip(chosen.survivors, growing._children, strict=True)
        if not future.done()
    ]
    return (
        f"Dead engines were not replaced: engines {silent} began, but did not get further."
        " Type: cluster.restart() for fresh engines."
    )


def _end_half_born(places: Places, words: Sequence[str]) -> None:
    """End the engines that have some of ``words`` in their command line."""
    marked = _processes.marked(places.folder)
    half_born = [one for one in marked if any(_processes.has(one, each) for each in words)]
    _processes.end(half_born, grace_s=0.5)
