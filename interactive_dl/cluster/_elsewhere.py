"""Clusters whose controller and recorder were started on another host that has the same files.

Process ids say nothing of them here: who answers lives.
"""

from __future__ import annotations

import json
import secrets
import socket
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from interactive_dl.cluster import _processes
from interactive_dl.cluster._description import Description
from interactive_dl.cluster._places import Places
from interactive_dl.errors import (
    ClusterElsewhereError,
    ClusterError,
    RecorderRefusedError,
    RecorderUnreachableError,
)
from interactive_dl.telemetry import _address, wire
from interactive_dl.telemetry.beside import Started
from interactive_dl.telemetry.feed import ask

_ENDING = "interactive_dl.cluster.ending"
_CONNECT_S = 1.0
_ASK_S = 5.0
_END_S = 60.0
_POLL_S = 0.05

Presence = Literal["answers", "gone", "silent", "hidden"]
"""``gone``: its host says that nobody listens there; ``silent``: it says nothing, or there is no
address; ``hidden``: it listens on its own host's loopback interface.
"""


def is_elsewhere(places: Places) -> bool:
    """Whether there is such a cluster, and this is not its host.

    A host may have got another name since.
    """
    try:
        described = Description.read(places.description)
    except FileNotFoundError:
        return False
    if described.host == socket.gethostname():
        return False
    parts = (described.controller_pid, described.recorder_pid)
    return not any(pid and _processes.is_alive(pid, places.folder) for pid in parts)


def controller(places: Places) -> Presence:
    """Whether its controller can be reached from here."""
    return _presence(_controller_endpoint, places)


def recorder(places: Places) -> Presence:
    """Whether its recorder can be reached from here."""
    return _presence(_recorder_endpoint, places)


def presence(places: Places) -> Presence:
    """Whether anybody can: one of the two may have ended."""
    told = [recorder(places), controller(places)]
    ranked: tuple[Presence, ...] = ("answers", "hidden", "silent")
    return next((one for one in ranked if one in told), "gone")


def why_unreached(places: Places) -> str:
    """In words, where it does not answer."""
    host, here = Description.read(places.description).host, socket.gethostname()
    whose = f"Cluster {places.cluster_id!r} was started on {host}"
    match presence(places):
        case "hidden":
            return f"{whose}, and listens there on its loopback interface only: not for {here}."
        case "gone":
            return f"{whose}, where its controller and recorder have ended."
        case "silent":
            return f"{whose}, which does not answer {here}: whether it lives cannot be said here."
        case "answers":
            return f"{whose}, where its recorder answers, but its controller does not."


def check_reached(places: Places) -> None:
    """Refuse to attach to what cannot be reached.

    Raises:
        ClusterElsewhereError: its host says nothing, or it listens for its own host only.
    """
    if presence(places) in ("hidden", "silent"):
        host = Description.read(places.description).host
        raise ClusterElsewhereError(
            f"{why_unreached(places)} On {host}, type: idl.Cluster.attach({places.cluster_id!r})"
        )


def check_unused(places: Places) -> None:
    """Refuse to start another cluster under an id that may be in use.

    Raises:
        ClusterError: it is, or that cannot be said from here.
    """
    if presence(places) != "gone":
        host = Description.read(places.description).host
        raise ClusterError(
            f"A cluster id is used once at a time, but {places.cluster_id!r} is that of a cluster"
            f" on {host}. Reach it with idl.Cluster.attach({places.cluster_id!r}), or stop it"
            f" first; where that is refused, do it on {host}."
        )


def start_beside(places: Places, words: Sequence[str], log: str) -> Started:
    """Have the recorder start a program beside itself.

    Raises:
        ClusterElsewhereError: it does not.
    """
    wish = wire.Begin(1, secrets.token_hex(8), tuple(words), log)
    try:
        answer = ask(_address.read(places.folder), wish, _ASK_S)
    except (RecorderUnreachableError, RecorderRefusedError) as error:
        raise ClusterElsewhereError(f"{why_unreached(places)} {error}") from error
    if isinstance(answer, wire.Begun):
        return answer.started
    assert isinstance(answer, wire.Refusal)
    raise ClusterElsewhereError(answer.reason)


def end(places: Places) -> None:
    """Have its own host end all of it.

    Raises:
        ClusterElsewhereError: it does not.
    """
    start_beside(places, ["-m", _ENDING, "--cluster", places.cluster_id], "ending.log")
    deadline_s = time.monotonic() + _END_S
    while places.folder.exists():
        if time.monotonic() > deadline_s:
            host = Description.read(places.description).host
            raise ClusterElsewhereError(
                f"Cluster {places.cluster_id!r} was asked to end on {host}, but has not within"
                f" {_END_S:g} s. On {host}, type: idl cluster stop {places.cluster_id}"
            )
        time.sleep(_POLL_S)


def refuse_to_clean(places: Places) -> None:
    """Say what is left of a cluster whose engines have been ended from here.

    Raises:
        ClusterElsewhereError: always.
    """
    host = Description.read(places.description).host
    raise ClusterElsewhereError(
        f"{why_unreached(places)} If it has a job, that was cancelled. For the rest, on {host},"
        f" type: idl cluster stop {places.cluster_id}; or, if {host} is gone for good: rm -r"
        f" {places.folder}"
    )


def _presence(endpoint: Callable[[Places], str], places: Places) -> Presence:
    try:
        address = urlsplit(endpoint(places))
    except (OSError, KeyError, ValueError, RecorderUnreachableError):
        return "silent"
    host, port = address.hostname or "", address.port or 0
    if host == "localhost" or host.startswith("127."):
        return "hidden"
    try:
        socket.create_connection((host, port), timeout=_CONNECT_S).close()
    except ConnectionRefusedError:
        return "gone"
    except OSError:
        return "silent"
    return "answers"


def _recorder_endpoint(places: Places) -> str:
    return _address.read(places.folder).endpoint


def _controller_endpoint(places: Places) -> str:
    told = json.loads(Path(places.client_connection).read_text())
    return f"{told['interface']}:{told['registration']}"
