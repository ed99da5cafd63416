"""Which engines others keep busy, as the cluster's hub knows: cells, views, other programs."""

from __future__ import annotations

import math
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from interactive_dl.cluster._client import Client

LOOK_S = 0.25
_LOST_S = 2.0
_LAG_S = 0.2

Kind = Literal["queue", "tasks"]
"""As the hub calls what came through a direct, and through a load-balanced view."""


@dataclass
class Sent:
    """A task that this process has sent to some engines; ``over_s``: by the monotonic clock."""

    kind: Kind
    engines: tuple[int, ...]
    over_s: float = math.inf

    def end(self) -> None:
        """Its result has come."""
        self.over_s = time.monotonic()


class Queues:
    """Asks the hub now and then what waits and runs on each engine, and takes off its own.

    An answer is never waited for; one that does not come, because the hub is being restarted, is
    given up. What is over is taken off for a moment longer, as the hub may hear of it later.

    Args:
        client: of the cluster.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._lock = threading.Lock()
        self._sent: list[Sent] = []
        self._busy: frozenset[int] = frozenset()
        self._asked_s = -math.inf
        self._is_answered = threading.Event()

    def add(self, sent: Sent) -> None:
        """This process sends a task."""
        with self._lock:
            self._sent.append(sent)

    def busy(self) -> frozenset[int]:
        """Engines that have something to do for others, or had it when last looked."""
        return self._busy

    def look(self) -> None:
        """Ask the hub, if it is time."""
        waited_s = time.monotonic() - self._asked_s
        if waited_s < (LOOK_S if self._is_answered.is_set() else _LOST_S):
            return
        self._asked_s = time.monotonic()
        self._is_answered.clear()
        self._client.ask_queues().add_done_callback(self._take)

    def await_answer(self, timeout_s: float) -> None:
        """Wait for the hub's answer, however it turns out."""
        self._is_answered.wait(timeout_s)

    def _take(self, answer: Any) -> None:
        """Called by the client's thread."""
        content = answer.result()["content"]
        with self._lock:
            self._sent = [one for one in self._sent if one.over_s + _LAG_S > time.monotonic()]
            self._busy = others(content, self._sent)
        self._is_answered.set()


def others(content: Mapping[str, Any], sent: list[Sent]) -> frozenset[int]:
    """Engines on which there is more than was sent.

    Args:
        content: of the hub's answer: by engine, how much there is of each kind.
        sent: to engines that may have it still.
    """
    own = Counter((sent.kind, engine) for sent in sent for engine in sent.engines)
    counts = {int(name): counts for name, counts in content.items() if name.isdigit()}
    kinds: tuple[Kind, ...] = ("queue", "tasks")
    return frozenset(
        engine
        for engine, count in counts.items()
        if any(count[kind] > own[kind, engine] for kind in kinds)
    )
