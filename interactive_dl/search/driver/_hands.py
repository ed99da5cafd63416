"""The driver's hands: tasks go through views of ipyparallel, orders and answers by the recorder."""

from __future__ import annotations

import logging
import queue
import secrets
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ipyparallel import error

from interactive_dl.cluster import Cluster, _remote
from interactive_dl.errors import ClusterError, RecorderRefusedError, RecorderUnreachableError
from interactive_dl.search import events, words, worker
from interactive_dl.search.driver._conductor import TaskFailed
from interactive_dl.search.driver._queues import Queues
from interactive_dl.search.driver._queues import Sent as SentTask
from interactive_dl.telemetry import _address, wire
from interactive_dl.telemetry._line import Line, hello
from interactive_dl.telemetry.events import CommandApplied, CommandRefused
from interactive_dl.telemetry.publisher import RecorderPublisher
from interactive_dl.telemetry.steering import Request, Sent

if TYPE_CHECKING:
    from ipyparallel import AsyncResult

_RUN = "interactive_dl.search.worker:run"
_WHO = "the search"
_ASK_S = 5.0
_CLOSE_S = 5.0
_HUB_S = 1.0
_PACE_S = 0.002
_SIZE_S = 0.25
_LOG = logging.getLogger(__name__)


class Engines:
    """Sends tasks, and knows who lives. See ``_conductor.Hands``.

    Args:
        cluster: attached.
        search: id of the search.
        objective: pickled.
        hear: takes ``TaskFailed``; from any thread.
    """

    def __init__(
        self, cluster: Cluster, search: str, objective: bytes, hear: Callable[[TaskFailed], None]
    ) -> None:
        self._cluster = cluster
        cluster.client.hear_no_output()
        self._views: dict[tuple[int, ...], Any] = {}
        self._objective = objective
        self._hear = hear
        folder = cluster.folder
        self._publisher = RecorderPublisher(
            words.work_of(search), events.DRIVER, _address.read(folder), pace_s=_PACE_S
        )
        self._post = _Post(folder, words.work_of(search))
        self._sent: queue.SimpleQueue[AsyncResult] = queue.SimpleQueue()
        self._queues = Queues(cluster.client)
        self._queues.look()
        self._queues.await_answer(_HUB_S)
        self._mending: threading.Thread | None = None
        self._size = cluster.size
        self._size_read_s = time.monotonic()

    def living(self) -> tuple[int, ...]:
        """Engines that take tasks, by id."""
        return tuple(sorted(self._cluster.client.ids))

    def busy(self) -> frozenset[int]:
        """Engines that have something to do for others."""
        return self._queues.busy()

    def start(self, task: words.Task) -> None:
        """One engine's tasks go through the load-balanced view, held to that engine."""
        sent = SentTask("tasks" if len(task.engines) == 1 else "queue", task.engines)
        self._queues.add(sent)
        try:
            result = self._view_of(task.engines).apply_async(
                _remote.call, _RUN, worker.encode(task), self._objective
            )
        except (error.NoEnginesRegistered, IndexError) as problem:
            _LOG.warning("Trial %d: %s", task.trial, problem)
            sent.end()
            return
        result.add_done_callback(lambda done: self._look(task, sent, done))

    def _view_of(self, engines: tuple[int, ...]) -> Any:
        """A view of these engines and no others.

        Raises:
            IndexError: one of them is gone.
        """
        client, ids = self._cluster.client, list(engines)
        if gone := set(ids) - set(client.ids):
            raise IndexError(f"Engines {sorted(gone)} are gone.")
        if engines not in self._views:
            is_alone = len(ids) == 1
            self._views[engines] = (
                client.load_balanced_view(ids) if is_alone else client.direct_view(ids)
            )
        return self._views[engines]

    def order(self, order: words.Leave | words.SetRate | words.Withdraw) -> None:
        """Pass an order on to the engines."""
        self._post.put(Sent(secrets.token_hex(8), _WHO, Request(words.plain(order))))

    def answer(self, id_: str, refusal: str) -> None:
        """Tell the recorder what came of an action."""
        answer = CommandRefused(id_, refusal) if refusal else CommandApplied(id_, step=0)
        self._publisher.publish(answer)

    def tidy(self) -> None:
        """Forget results, of which nothing is needed: what trials come to they tell themselves.

        Look, too, what others have for the engines to do.
        """
        self._queues.look()
        self._publisher.commands()
        done = []
        while not self._sent.empty():
            done.append(self._sent.get())
        if done:
            self._cluster.client.purge_local_results(done)

    def size(self) -> int:
        """How many engines there are, with those that have died and are to be replaced."""
        now_s = time.monotonic()
        if now_s >= self._size_read_s + _SIZE_S:  # from a file
            self._size, self._size_read_s = self._cluster.size, now_s
        return self._size

    def lacks(self) -> bool:
        """Whether engines have died and were not replaced."""
        return len(self._cluster.client.ids) < self.size()

    def mend(self, sponsor: int) -> None:
        """Replace dead engines through a free one, in a thread of its own."""
        self._mending = threading.Thread(
            target=self._mend, args=(sponsor,), name="mend", daemon=True
        )
        self._mending.start()

    def is_mending(self) -> bool:
        """Whether that is under way."""
        return self._mending is not None and self._mending.is_alive()

    def close(self) -> None:
        """Say goodbye; the post stays open, as the search may be opened again."""
        self._publisher.close(_CLOSE_S)
        self._post.close()

    def _mend(self, sponsor: int) -> None:
        try:
            self._cluster.heal(sponsor=sponsor)
        except ClusterError as problem:
            _LOG.warning("%s", problem)

    def _look(self, task: words.Task, sent: SentTask, done: AsyncResult) -> None:
        """Called by the client's thread when a task is over."""
        sent.end()
        self._sent.put(done)
        why = _problem(done)
        if why:
            self._hear(TaskFailed(task.trial, task.attempt, why))


class _Post:
    """Brings orders to the recorder, in their order, however long it is away."""

    def __init__(self, folder: Path, run: str) -> None:
        self._folder = folder
        self._run = run
        self._waiting: queue.SimpleQueue[Sent | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._deliver, name="orders", daemon=True)
        self._thread.start()

    def put(self, sent: Sent) -> None:
        """Have it brought."""
        self._waiting.put(sent)

    def close(self) -> None:
        """End the thread."""
        self._waiting.put(None)
        self._thread.join(_CLOSE_S)

    def _deliver(self) -> None:
        line: Line | None = None
        while (sent := self._waiting.get()) is not None:
            while True:
                try:
                    if line is None:
                        line = self._dial()
                    line.ask(wire.Send(1, self._run, sent), _ASK_S)
                    break
                except (RecorderUnreachableError, RecorderRefusedError) as problem:
                    _LOG.warning("%s", problem)
                    if line is not None:
                        line.close()
                    line = None
        if line is not None:
            line.close()

    def _dial(self) -> Line:
        line = Line(_address.read(self._folder))
        try:
            line.greet(hello(), _ASK_S)
        except BaseException:
            line.close()
            raise
        return line


def _problem(done: Any) -> str:
    """Why a task was not carried out; empty where it was, or where only its engine is gone."""
    try:
        done.get(timeout=0)
    except error.CompositeError as failed:
        return next((text for each in failed.elist if (text := _words(*each[:2]))), "")
    except error.RemoteError as failed:
        return _words(failed.ename, failed.evalue)
    except (error.IPythonError, TimeoutError):
        return ""
    return ""


def _words(name: str, value: str) -> str:
    return "" if name in _GONE else f"{name}: {value}"


_GONE = frozenset({"EngineError", "TaskAborted"})
