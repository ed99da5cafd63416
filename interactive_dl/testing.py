"""Small fakes for tests of code that runs on several ranks."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Any, TypeVar

import numpy as np

Result = TypeVar("Result")


class ThreadRank:
    """One rank of a ``ThreadRanks``: what ``data`` needs of a group, without MPI.

    Attributes:
        rank: this thread, 0 .. size-1.
        size: number of threads.
        hosts: names, by rank.
        count: interrupts that this rank has had; a test counts them up.
    """

    def __init__(self, rank: int, hosts: tuple[str, ...], meeting: _Meeting) -> None:
        self.rank = rank
        self.size = len(hosts)
        self.hosts = hosts
        self.count = 0
        self._meeting = meeting
        self._calls = 0

    def allgather(self, value: Any, /) -> list[Any]:
        """Every rank's ``value``, by rank.

        Raises:
            RuntimeError: another rank returned or raised instead, or did not come in time.
        """
        self._calls += 1
        return self._meeting.gather(self._calls, self.rank, value)

    def pass_on(self, block: np.ndarray, /, to: int, into: np.ndarray, source: int) -> None:
        """Send ``block`` to one rank while ``into`` is filled by another.

        Raises:
            queue.Empty: nothing came in time.
        """
        self._meeting.post(self.rank, to).put(block.copy())
        into[:] = self._meeting.post(source, self.rank).get(timeout=self._meeting.timeout_s)

    @contextmanager
    def interrupts(self) -> Iterator[ThreadRank]:
        """``count``: no signal reaches a thread."""
        yield self

    def await_first(self) -> None:
        """There is none to wait for."""


class ThreadRanks:
    """Runs a program on several ranks, each a thread of this process.

    Args:
        size: number of ranks.
        timeout_s: how long a rank waits for the others.
        hosts: names of the ranks' hosts, by rank; by default one.
    """

    def __init__(
        self, size: int, timeout_s: float = 10.0, hosts: Sequence[str] | None = None
    ) -> None:
        self.size = size
        self.timeout_s = timeout_s
        self.hosts = tuple(hosts or ("localhost",) * size)

    def outcomes(self, program: Callable[[ThreadRank], Result]) -> list[Result | BaseException]:
        """What each rank returned or raised, by rank."""
        meeting = _Meeting(self.size, self.timeout_s)

        def run(rank: int) -> Result | BaseException:
            try:
                return program(ThreadRank(rank, self.hosts, meeting))
            except BaseException as error:  # noqa: BLE001 - the caller gets it as this rank's outcome
                return error
            finally:
                meeting.leave(rank)

        with ThreadPoolExecutor(self.size) as threads:
            return list(threads.map(run, range(self.size)))

    def run(self, program: Callable[[ThreadRank], Result]) -> list[Result]:
        """What each rank returned, by rank.

        Raises:
            ExceptionGroup: what the ranks raised.
        """
        outcomes = self.outcomes(program)
        errors = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
        if errors:
            raise BaseExceptionGroup(f"{len(errors)} of {self.size} ranks raised", errors)
        return [outcome for outcome in outcomes if not isinstance(outcome, BaseException)]


class _Meeting:
    """Where the ranks exchange values: their n-th calls belong together."""

    def __init__(self, size: int, timeout_s: float) -> None:
        self._size = size
        self.timeout_s = timeout_s
        self._posts: defaultdict[tuple[int, int], SimpleQueue[Any]] = defaultdict(SimpleQueue)
        self._changed = threading.Condition()
        self._values: defaultdict[int, dict[int, Any]] = defaultdict(dict)
        self._gone: set[int] = set()

    def gather(self, call: int, rank: int, value: Any) -> list[Any]:
        with self._changed:
            values = self._values[call]
            values[rank] = value
            self._changed.notify_all()
            self._changed.wait_for(
                lambda: len(values) == self._size or self._gone - values.keys(), self.timeout_s
            )
            missing = set(range(self._size)) - values.keys()
            if missing:
                raise RuntimeError(f"Rank {rank} waits in allgather for ranks {sorted(missing)}.")
            return [values[other] for other in range(self._size)]

    def post(self, source: int, to: int) -> SimpleQueue[Any]:
        with self._changed:
            return self._posts[source, to]

    def leave(self, rank: int) -> None:
        with self._changed:
            self._gone.add(rank)
            self._changed.notify_all()
