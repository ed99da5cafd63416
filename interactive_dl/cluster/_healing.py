"""Replacing dead engines while the others keep what they have in memory."""

from __future__ import annotations

import asyncio
import time
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
_SPAWN_TIMEOUT_S = 30.0
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
    world = exits.world(places.folder)
    survivors = tuple(sorted(set(living) & set(world)))
    if not survivors:
        raise HealError(
            "Living engines start the replacements of dead ones, but none of"
            f" {list(world)} lives. Type: cluster.restart()"
        )
    wanted = Description.read(places.description).options.engines
    # An id is for one engine's life: should this attempt fail, the next one takes others.
    return Plan(survivors, exits.claim_ids(places.folder, max(0, wanted - len(survivors))))


async def heal(client: Client, places: Places, *, timeout_s: float) -> Plan:
    """Replace the dead; ``cluster.heal`` says the rest."""
    chosen = plan(places, tuple(client.ids))
    if not chosen.new:
        return chosen
    if broken := _status.what_ended(places):
        raise HealError(f"Dead engines were not replaced. {broken} Type: cluster.restart()")
    try:
        await _grow(client, places, chosen, timeout_s)
        await _starting.await_engines(
            client, places, chosen.new, _SPAWN_TIMEOUT_S, is_over=lambda: False
        )
    except (HealError, EnginesNotRegisteredError) as error:
        await asyncio.to_thread(_end_replacements, places, chosen)
        raise HealError(str(error)) from error
    return chosen


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
            " cluster.restart() for fresh engines. A training that goes on takes new engines in"
            " with run.grow()."
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


def _end_replacements(places: Places, chosen: Plan) -> None:
    world = ",".join(map(str, chosen.world))
    half_born = [
        one for one in _processes.marked(places.folder) if _processes.has(one, f"--world {world}")
    ]
    _processes.end(half_born, grace_s=0.5)
