"""The driver's loop: a queue of what is heard, from the work journal and from the client."""

from __future__ import annotations

import logging
import queue
import threading
import time
from pathlib import Path

import msgspec

from interactive_dl.cluster import Cluster
from interactive_dl.errors import JournalError
from interactive_dl.search import events, words
from interactive_dl.search.driver import BEGAN, OBJECTIVE, OPENING, Opening
from interactive_dl.search.driver._conductor import (
    Asked,
    Conductor,
    TaskFailed,
    Told,
    Vacated,
)
from interactive_dl.search.driver._hands import Engines
from interactive_dl.search.driver._keeper import Keeper
from interactive_dl.telemetry import journal, whole
from interactive_dl.telemetry.events import (
    CommandApplied,
    CommandRefused,
    CommandSent,
    Noted,
    Record,
)
from interactive_dl.telemetry.feed import ClusterSource
from interactive_dl.telemetry.following import Follower
from interactive_dl.telemetry.steering import Request, Vacate

_CLUSTER = "cluster"
_TICK_S = 0.1
_LOG = logging.getLogger(__name__)

Heard = Asked | Told | TaskFailed | Vacated


def drive(cluster_id: str, search: str, runs: Path) -> None:
    """Run a search until it is over.

    Args:
        cluster_id: of the cluster whose engines try the trials.
        search: id of the search; its folder has how it begins, and its objective.
        runs: folder of the journals.
    """
    folder = words.folder_of(runs, search)
    keeper = Keeper(search, journal.path_of(runs, words.journal_of(search)))
    if keeper.book.began is None:
        keeper.write(msgspec.json.decode((folder / BEGAN).read_bytes(), type=events.SearchBegan))
    cluster = Cluster.attach(cluster_id)
    heard: queue.SimpleQueue[Heard] = queue.SimpleQueue()
    engines = Engines(cluster, search, (folder / OBJECTIVE).read_bytes(), heard.put)
    opening = _opening(folder / OPENING)
    _begin_work(keeper, opening)
    _give_back(keeper, folder, f"{cluster_id} {cluster.started_s}")
    ear = _Ear(search, cluster.folder, runs, heard)
    ear.catch_up()
    conductor = Conductor(keeper, engines, folder, time.time())
    if opening is not None:
        for id_, action in opening.actions.items():
            conductor.take(Asked(id_, opening.who, action), time.time())
        (folder / OPENING).unlink()
    _LOG.info("Search %s: %d trials so far.", search, len(keeper.book.trials))
    while True:
        for one in _all(heard, _TICK_S):
            conductor.take(one, time.time())
        conductor.advance(time.time())
        if conductor.is_over:
            break
        engines.tidy()
    ear.close()
    engines.close()
    keeper.close()
    cluster.close()
    _LOG.info("Search %s is over, or off its engines.", search)


def _opening(note: Path) -> Opening | None:
    """What the search is to be gone on with; None where nothing was asked."""
    return msgspec.json.decode(note.read_bytes(), type=Opening) if note.exists() else None


def _begin_work(keeper: Keeper, opening: Opening | None) -> None:
    """Write that the search goes on from now, unless it has ended and nobody wants more of it."""
    if keeper.book.ended is None:
        keeper.write(events.AtWork(begins=True))
    elif opening is not None:
        keeper.write(events.Reopened())


def _all(heard: queue.SimpleQueue[Heard], timeout_s: float) -> list[Heard]:
    """What was heard, waiting for the first."""
    try:
        found = [heard.get(timeout=timeout_s)]
    except queue.Empty:
        return []
    while not heard.empty():
        found.append(heard.get())
    return found


def _give_back(keeper: Keeper, folder: Path, cluster: str) -> None:
    """On another cluster than before, what ran there does not run any more.

    The note comes last: who is killed before it gives back the rest in the next life.
    """
    note = folder / _CLUSTER
    before = note.read_text() if note.exists() else ""
    if before == cluster:
        return
    for number, engines in list(keeper.book.running.items()) if before else ():
        event = events.TrialCrashed(number, engines, "its cluster has ended", is_blamed=False)
        keeper.write(event)
    whole.write(note, cluster)


class _Ear:
    """Follows what engines and people say, in a thread.

    What was said before and is answered already is left out; words of attempts that are over are
    known for it by who gets them.
    """

    def __init__(
        self, search: str, cluster: Path, runs: Path, heard: queue.SimpleQueue[Heard]
    ) -> None:
        self._of = words.work_of(search)
        self._heard = heard
        self._asked: dict[str, Asked | Vacated] = {}
        self._is_caught_up = threading.Event()
        source = ClusterSource(cluster, runs, self._of, waits=True)
        self._follower = Follower("hear", source, self._take, self._notice)
        self._follower.start()

    def catch_up(self) -> None:
        """Wait until all has been read that was said before.

        Raises:
            JournalError: it cannot be read.
        """
        self._is_caught_up.wait()
        if self._follower.problem is not None:
            raise self._follower.problem

    def close(self) -> None:
        """End the thread."""
        self._follower.stop()

    def _take(self, chunk: journal.Chunk) -> None:
        for record in journal.decode(chunk, self._of):
            try:
                self._sort(record)
            except msgspec.ValidationError as error:
                _LOG.error("Engine %d said what nobody understands: %s", record.engine, error)
        if self._is_caught_up.is_set() or chunk.is_last:
            for asked in self._asked.values():
                self._heard.put(asked)
            self._asked.clear()

    def _sort(self, record: Record) -> None:
        match record.event:
            case Noted(data=data):
                self._heard.put(Told(record.engine, words.word(data)))
            case CommandSent(id=id_, who=who, command=Request(data=data)):
                order = words.order(data)
                if isinstance(order, words.Act):
                    self._asked[id_] = Asked(id_, who, order.action)
            case CommandSent(id=id_, who=who, command=Vacate()):
                self._asked[id_] = Vacated(id_, who)
            case CommandApplied(id=id_) | CommandRefused(id=id_):
                self._asked.pop(id_, None)

    def _notice(self) -> None:
        problem = self._follower.problem
        if self._follower.is_up_to_date or isinstance(problem, JournalError):
            self._is_caught_up.set()
