"""Which nodes of a job can be used: what Slurm says of them, and whether they answer."""

from __future__ import annotations

import re
import socket
import subprocess
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

_ANSWER_S = 1.0
_COMMAND_S = 15.0
_AT_ONCE = 64
_PLACE = re.compile(r"NodeAddr=(\S+).*?Port=(\d+)", re.DOTALL)
_UNFIT = ("down", "drain", "fail", "maint", "unknown", "power", "reboot")

Place = tuple[str, int]


def names(listed: str) -> tuple[str, ...]:
    """Node names of Slurm's list, such as ``n[1-4]``."""
    return tuple(_output(["scontrol", "show", "hostnames", listed]).split())


def places(nodes: Iterable[str]) -> dict[str, Place]:
    """Address and port of each node's slurmd; nodes that Slurm does not describe are left out."""
    found = {}
    for node in nodes:
        described = _PLACE.search(_output(["scontrol", "show", "node", node]))
        if described is not None:
            found[node] = (described[1], int(described[2]))
    return found


def unfit(nodes: Collection[str]) -> dict[str, str]:
    """Nodes that Slurm does not start anything on any more, with its word for each."""
    words = ["sinfo", "--noheader", "--Node", f"--nodes={','.join(nodes)}", "--format=%N|%T"]
    return parse(_output(words))


def parse(text: str) -> dict[str, str]:
    """What ``unfit`` finds in a listing of ``node|state``."""
    rows = (line.strip().partition("|") for line in text.splitlines())
    return {node: state for node, _, state in rows if is_unfit(state)}


def is_unfit(state: str) -> bool:
    """Whether a node in this state of Slurm's (``idle``, ``draining*``) starts nothing."""
    return state.endswith("*") or any(word in state.lower() for word in _UNFIT)


def answers(place: Place) -> bool:
    """Whether a node's slurmd can be reached."""
    try:
        socket.create_connection(place, timeout=_ANSWER_S).close()
    except OSError:
        return False
    return True


@dataclass
class Silence:
    """Since when nodes have not answered.

    Attributes:
        places: of the nodes that are asked, by name.
        ask: whether a node answers.
        clock_s: seconds, any origin.
    """

    places: Mapping[str, Place]
    ask: Callable[[Place], bool] = answers
    clock_s: Callable[[], float] = time.monotonic
    _heard_s: dict[str, float] = field(default_factory=dict)

    def look(self) -> dict[str, float]:
        """Ask all nodes at once; for how many seconds each has been silent."""
        asked_s = self.clock_s()
        with ThreadPoolExecutor(min(_AT_ONCE, len(self.places) or 1)) as askers:
            heard = list(askers.map(self.ask, self.places.values()))
        for node, answered in zip(self.places, heard, strict=True):
            if answered or node not in self._heard_s:
                self._heard_s[node] = asked_s
        now_s = self.clock_s()
        return {
            node: 0.0 if answered else now_s - self._heard_s[node]
            for node, answered in zip(self.places, heard, strict=True)
        }


def _output(words: Sequence[str]) -> str:
    """What a command of Slurm's prints; nothing where it fails or does not answer."""
    try:
        done = subprocess.run(
            words, capture_output=True, text=True, timeout=_COMMAND_S, check=False
        )
    except subprocess.TimeoutExpired:
        return ""
    return done.stdout
