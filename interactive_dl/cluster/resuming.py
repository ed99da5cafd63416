"""What trained on engines that are gone begins again on others, from its last checkpoint.

    python -m interactive_dl.cluster.resuming --folder FOLDER --engines 4 5 --gone 0 1 2 3

A run is resumed as a person would do it: the cells that its engines had run are run again, and its
``fit`` goes on from the checkpoint file that ``engine.callbacks(name, checkpoint=...)`` names. What
else the cells do is done again, too. Runs without such a file, and trials of a search, are not
touched: a search goes on by itself.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from interactive_dl.cluster import _starting
from interactive_dl.cluster._client import Client
from interactive_dl.cluster._description import Description
from interactive_dl.cluster._places import Places
from interactive_dl.errors import EnginesNotRegisteredError, JournalError
from interactive_dl.telemetry import events, exits, journal
from interactive_dl.telemetry.events import Record
from interactive_dl.telemetry.steering import Vacate

if TYPE_CHECKING:
    from ipyparallel import AsyncResult

_LOG = logging.getLogger("interactive_dl.cluster")
_REGISTRATION_S = 120.0
_SENT_S = 2.0


@dataclass(frozen=True)
class Unfinished:
    """A run that its engines left before its end.

    Attributes:
        run: its id.
        name: what it was called.
        engines: that trained it last.
        source: the cells that they had run.
        checkpoint: the file that these cells go on from; empty where there is none.
    """

    run: str
    name: str
    engines: tuple[int, ...]
    source: str
    checkpoint: str


def unfinished(runs: Path, cluster: Path, gone: Collection[int]) -> tuple[Unfinished, ...]:
    """What trained last on engines that are gone, where it had not come to its end.

    Args:
        runs: folder of the journals.
        cluster: folder of the cluster whose runs are meant.
        gone: engine ids.
    """
    found: list[Unfinished] = []
    seen: set[int] = set()
    later: set[tuple[str, str]] = set()
    for run, path in reversed(journal.journals(runs).items()):
        try:
            if journal.header(path).cluster != str(cluster):
                continue
            one, is_open = _standing(run, journal.records(path))
        except JournalError as error:
            _LOG.warning("%s", error)
            continue
        if one is None:
            continue
        is_gone_on_with = (one.name, one.checkpoint) in later
        later.add((one.name, one.checkpoint))
        engines = set(one.engines)
        if is_open and engines & set(gone) and not engines & seen and not is_gone_on_with:
            found.append(one)
        seen |= engines
    return tuple(reversed(found))


def _standing(run: str, records: Iterable[Record]) -> tuple[Unfinished | None, bool]:
    """What a run was, and whether it was left before its end; None where it did not begin."""
    started: events.Started | None = None
    engines: tuple[int, ...] = ()
    ended: events.Ended | None = None
    orders: set[str] = set()
    is_vacated = False
    for record in records:
        match record.event:
            case events.Started() as started:
                engines = started.engines
            case events.GroupChanged(engines=engines):
                pass
            case events.CommandSent(id=id_, command=Vacate()):
                orders.add(id_)
            case events.CommandApplied(id=id_):
                is_vacated |= id_ in orders
            case events.Ended() as ended:
                pass
            case events.StateChanged() if record.engine == events.RECORDER:
                ended = None
    if started is None:
        return None, False
    is_lost = ended is None or ended.outcome == "lost"
    is_struck = ended is not None and ended.reason.startswith("PeerFailedError")
    one = Unfinished(run, started.name, engines, started.source, started.resumes_from)
    return one, is_lost or is_struck or is_vacated


def places_of(one: Unfinished, before: Sequence[int], now: Sequence[int]) -> tuple[int, ...]:
    """Engines that a run begins again on.

    Args:
        one: the run.
        before: ids, by rank, of the world that it ran in.
        now: ids, by rank, of the world that there is.

    Returns:
        All of them where it had all; else those of its own ranks; else as many as there are.
    """
    if set(before) <= set(one.engines):
        return tuple(now)
    ranks = [before.index(engine) for engine in one.engines if engine in before]
    kept = tuple(now[rank] for rank in ranks if rank < len(now))
    return kept or tuple(now[: len(one.engines)])


def resume(
    client: Client, places: Places, engines: Sequence[int], gone: Collection[int]
) -> tuple[list[str], list[str]]:
    """Run the cells of unfinished runs again, without waiting for their end.

    Args:
        client: connected to the controller.
        places: of the cluster.
        engines: ids of the new world, by rank; registered.
        gone: ids of engines that have ended.

    Returns:
        Names of the runs that begin again, and of those that have no checkpoint.
    """
    options = Description.read(places.description).options
    births = exits.births(places.folder)
    resumed, left = [], []
    for one in unfinished(Path(options.runs), places.folder, gone):
        if not (one.checkpoint and one.source and Path(one.checkpoint).exists()):
            left.append(one.name)
            continue
        before = births[one.engines[0]].world if one.engines[0] in births else one.engines
        targets = places_of(one, before, engines)
        _send(client, targets, one)
        resumed.append(one.name)
    return resumed, left


def forget(client: Client, gone: Iterable[int]) -> None:
    """Have the controller list engines no longer that could not say goodbye."""
    for engine in set(gone) & set(client.ids):
        client.ask_to_forget(engine)


def words(resumed: Sequence[str], left: Sequence[str]) -> str:
    """What has come of it, and what is left to a person."""
    told = [f"{name!r} goes on from its checkpoint." for name in resumed]
    told += [
        f"{name!r} has no checkpoint to go on from: run its cell again. With"
        ' engine.callbacks(name, checkpoint="name.keras") that happens by itself.'
        for name in left
    ]
    return " ".join(told) or "Nothing had been training."


def _send(client: Client, targets: Sequence[int], one: Unfinished) -> AsyncResult:
    _LOG.info("%s begins again on engines %s, from %s.", one.name, list(targets), one.checkpoint)
    result = client.direct_view(list(targets)).execute(one.source, block=False)
    result.wait(_SENT_S)  # it is on its way then, and this process may end
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Wait for the engines, then resume what there is."""
    options = _parse(arguments)
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr
    )
    places = Places(options.folder.name, options.folder.parents[1])
    client = Client(
        str(places.client_connection),
        profile_dir=str(places.profile),
        cluster_id=places.cluster_id,
        explain_death=lambda engine: f"Engine {engine} has died.",
    )
    try:
        forget(client, options.gone)
        asyncio.run(
            _starting.await_engines(
                client, places, options.engines, _REGISTRATION_S, is_over=lambda: False
            )
        )
        resumed, left = resume(client, places, options.engines, options.gone)
    except EnginesNotRegisteredError as error:
        _LOG.error("%s", error)
        return 1
    finally:
        client.close()
    _LOG.info("%s", words(resumed, left))
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m interactive_dl.cluster.resuming")
    parser.add_argument("--folder", type=Path, required=True, help="the cluster's folder")
    parser.add_argument("--engines", type=int, nargs="+", required=True, help="ids, by rank")
    parser.add_argument("--gone", type=int, nargs="+", required=True, help="ids of the dead")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
