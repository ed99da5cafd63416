"""What an engine leaves on disk: its id, that it lives, how it ended, and its log.

One folder for each cluster. The process that watches an engine writes its exit, the engine itself
its birth; notebooks read both. Nothing but the standard library is needed.
"""

from __future__ import annotations

import json
import re
import signal
import socket
import time
from collections import deque
from collections.abc import Collection
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from interactive_dl.telemetry import whole


@dataclass(frozen=True)
class Birth:
    """An engine that has joined its world.

    Attributes:
        engine: stable id.
        rank: its rank in the world when it joined.
        world: engine ids of that world, by rank.
        host: host name.
        pid: process id of the engine.
        watcher_pid: process id of its watcher.
        born_at_s: seconds since the epoch.
        endpoint: where other engines reach it, for ZeroMQ; empty where MPI connects them.
    """

    engine: int
    rank: int
    world: tuple[int, ...]
    host: str
    pid: int
    watcher_pid: int
    born_at_s: float = field(default_factory=time.time)
    endpoint: str = ""


@dataclass(frozen=True)
class Exit:
    """How an engine ended.

    Attributes:
        engine: stable id.
        host: host name.
        pid: process id that the engine had.
        exit_code: its exit code; None where a signal ended it.
        signal_number: the signal that ended it; None where it exited.
        ended_at_s: seconds since the epoch.
        max_rss_bytes: the most memory that it held.
        stalled: why its watcher killed it; empty if it did not.
        lost: why nobody saw its end; empty where its watcher did.
    """

    engine: int
    host: str
    pid: int
    exit_code: int | None
    signal_number: int | None
    ended_at_s: float
    max_rss_bytes: int
    stalled: str = ""
    lost: str = ""

    @property
    def reason(self) -> str:
        """``killed by SIGKILL``, ``exit code 3``, or how it had stalled or was lost."""
        if self.lost:
            return self.lost
        if self.stalled:
            return f"stalled: {self.stalled}, and was killed"
        if self.signal_number is not None:
            return f"killed by {signal.Signals(self.signal_number).name}"
        return f"exit code {self.exit_code}"


GIVEN_BACK = "its allocation was given back"
"""How an engine was lost that nobody needed any more."""

_NUMBERED = re.compile(r"engine-(\d+)\.")


def log_file(folder: Path, engine: int) -> Path:
    """Where everything goes that an engine's process prints outside of its cells."""
    return folder / f"engine-{engine}.log"


def record_birth(folder: Path, birth: Birth) -> None:
    """Leave word that the engine lives."""
    _write(_birth_file(folder, birth.engine), asdict(birth))


def is_born(folder: Path, engine: int) -> bool:
    """Whether the engine has ever joined a world of this cluster."""
    return _birth_file(folder, engine).exists()


def _birth_file(folder: Path, engine: int) -> Path:
    return folder / f"engine-{engine}.birth.json"


def record_exit(folder: Path, ended: Exit) -> None:
    """Leave word how the engine ended."""
    _write(folder / f"engine-{ended.engine}.exit.json", asdict(ended))


def record_loss(folder: Path, birth: Birth, how: str) -> None:
    """Leave word of an engine whose end its watcher could not tell."""
    record_exit(folder, loss(birth.engine, birth.host, birth.pid, how, time.time()))


def loss(engine: int, host: str, pid: int, how: str, ended_at_s: float) -> Exit:
    """The end of an engine that its watcher could not tell."""
    return Exit(
        engine=engine,
        host=host,
        pid=pid,
        exit_code=None,
        signal_number=None,
        ended_at_s=ended_at_s,
        max_rss_bytes=0,
        lost=how,
    )


def births(folder: Path) -> dict[int, Birth]:
    """All engines that ever joined a world of this cluster, by id."""
    read = (json.loads(path.read_text()) for path in folder.glob("engine-*.birth.json"))
    found = (Birth(**{**fields, "world": tuple(fields["world"])}) for fields in read)
    return {birth.engine: birth for birth in sorted(found, key=lambda birth: birth.engine)}


def exits(folder: Path) -> dict[int, Exit]:
    """All engines of this cluster that have ended, by id."""
    found = (Exit(**json.loads(path.read_text())) for path in folder.glob("engine-*.exit.json"))
    return {ended.engine: ended for ended in sorted(found, key=lambda ended: ended.engine)}


def world(folder: Path) -> tuple[int, ...]:
    """Engine ids by rank of the world that the youngest engine joined; empty before any did.

    The dead of that world are among them: the living go on in it until it is healed. An engine
    that was born alone, while the others were busy, comes after them, and takes the place of those
    that had died before. Those that were given back have no place in it.
    """
    ended = exits(folder)
    ids: tuple[int, ...] = ()
    for birth in births(folder).values():
        is_alone = len(birth.world) == 1 and bool(ids)
        kept = [one for one in ids if _was_there(ended.get(one), birth.born_at_s)]
        ids = (*kept, birth.engine) if is_alone else birth.world
    return ids


def _was_there(ended: Exit | None, at_s: float) -> bool:
    """Whether an engine that ended so counted at a time."""
    return ended is None or (ended.ended_at_s > at_s and ended.lost != GIVEN_BACK)


def is_united(folder: Path, engines: Collection[int]) -> bool:
    """Whether MPI connects ``engines``: none of them was born alone and is so still."""
    born = births(folder)
    return not born or set(engines) <= set(born[max(born)].world)


def record_union(folder: Path, ids: tuple[int, ...]) -> None:
    """Leave word that the engines ``ids``, by rank, are one world now; any of them may do so."""
    youngest = births(folder)[max(ids)]
    record_birth(folder, replace(youngest, world=ids, rank=ids.index(youngest.engine)))


def living(folder: Path) -> frozenset[int]:
    """Ids of the engines that were born and have not ended, as far as this host can see."""
    ended, here = exits(folder), socket.gethostname()
    return frozenset(
        engine
        for engine, birth in births(folder).items()
        if engine not in ended and (birth.host != here or Path(f"/proc/{birth.pid}").exists())
    )


def claim_ids(folder: Path, count: int) -> tuple[int, ...]:
    """Ids for new engines that no engine of the cluster ever had, nor will have; ascending.

    Any process may ask, several at once, on a shared file system too.
    """
    known = [int(found[1]) for path in folder.iterdir() if (found := _NUMBERED.match(path.name))]
    claimed: list[int] = []
    candidate = max(known, default=-1) + 1
    while len(claimed) < count:
        try:
            (folder / f"engine-{candidate}.id").touch(exist_ok=False)
            claimed.append(candidate)
        except FileExistsError:
            pass  # somebody else was faster
        candidate += 1
    return tuple(claimed)


def last_lines(path: Path, count: int = 20) -> tuple[str, ...]:
    """The end of a log, without empty lines; nothing where there is no log."""
    if not path.exists():
        return ()
    with path.open(errors="replace") as lines:
        return tuple(deque((line.rstrip() for line in lines if line.strip()), maxlen=count))


def _write(path: Path, fields: dict[str, object]) -> None:
    whole.write(path, json.dumps(fields))
