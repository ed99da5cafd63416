"""Messages between the engines of a cluster without MPI, straight from one to the other.

Every engine listens on one address, the one that faces the recorder or that of the named interface.
Whoever does not have the cluster's keys can neither connect nor read (CURVE).
"""

from __future__ import annotations

import os
import pickle
import socket
import time
from collections import defaultdict, deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import zmq
from zmq.auth.thread import ThreadAuthenticator

from interactive_dl.errors import GroupError
from interactive_dl.telemetry import attendance, exits

INTERFACE_VARIABLE = "HOROVOD_GLOO_IFACE"
"""Environment variable with the network interface that Gloo, and the mesh, listen on."""

_ANY_PORT = 9
_OLD_S = 60.0


class _Letter(NamedTuple):
    payload: Any
    came_s: float


class Mesh:
    """This engine's place in the mesh; for one thread.

    Args:
        folder: the cluster's folder.
        me: this engine's id.

    Attributes:
        host: IPv4 address that it listens on.
        endpoint: where others reach it.

    Raises:
        RecorderUnreachableError: the cluster's keys cannot be read.
        GroupError: there is no such interface.
    """

    def __init__(self, folder: Path, me: int) -> None:
        self.me = me
        self._folder = folder
        self._access = attendance.access(folder)
        self._letters: defaultdict[tuple[str, int], deque[_Letter]] = defaultdict(deque)
        self._peers: dict[int, zmq.Socket[bytes]] = {}
        self.host, os.environ[INTERFACE_VARIABLE] = _listen_on(self._access.host)
        # One of its own: who may connect is decided for a whole context.
        self._context = zmq.Context()
        self._doorman = ThreadAuthenticator(self._context)
        self._doorman.start()
        self._doorman.configure_curve_callback("*", _Permitted(self._access.public_key))
        self._inbox = self._context.socket(zmq.PULL)
        self._inbox.rcvhwm = 0
        self._inbox.curve_server = True
        self._inbox.curve_secretkey = self._access.secret_key.encode()
        port = self._inbox.bind_to_random_port(f"tcp://{self.host}")
        self.endpoint = f"tcp://{self.host}:{port}"

    def send(self, engine: int, topic: str, payload: Any) -> None:
        """Send without waiting; what an engine that is gone would have got is lost."""
        if engine == self.me:
            self._keep(topic, engine, payload)
        elif (peer := self._peer(engine)) is not None:
            peer.send(pickle.dumps((self.me, topic, payload)), zmq.NOBLOCK)

    def take(self, topic: str, engine: int) -> Iterator[Any]:
        """What has come from an engine on a topic, in order; each once."""
        self._receive()
        letters = self._letters.get((topic, engine))
        while letters:
            yield letters.popleft().payload
        self._letters.pop((topic, engine), None)

    def has(self, topic: str, engine: int) -> bool:
        """Whether something has come that is not taken yet."""
        self._receive()
        return bool(self._letters.get((topic, engine)))

    def wait(self, timeout_s: float) -> None:
        """Wait until something comes, or the time is over."""
        self._inbox.poll(max(1, round(1000 * timeout_s)))

    def discard_old(self) -> None:
        """Forget what nobody has taken for long: it was for a group that has ended."""
        since_s = time.monotonic() - _OLD_S
        for key, letters in list(self._letters.items()):
            if letters and letters[-1].came_s < since_s:
                del self._letters[key]

    def _receive(self) -> None:
        # One frame a message: an interrupt cannot come between two parts of one.
        while self._inbox.poll(0):
            sender, topic, payload = pickle.loads(self._inbox.recv(zmq.NOBLOCK))
            self._keep(topic, sender, payload)

    def _keep(self, topic: str, sender: int, payload: Any) -> None:
        self._letters[topic, sender].append(_Letter(payload, time.monotonic()))

    def _peer(self, engine: int) -> zmq.Socket[bytes] | None:
        if engine not in self._peers:
            birth = exits.births(self._folder).get(engine)
            if birth is None or not birth.endpoint:
                return None
            peer = self._context.socket(zmq.PUSH)
            peer.sndhwm = 0
            peer.linger = 0
            peer.curve_serverkey = self._access.public_key.encode()
            peer.curve_publickey = self._access.public_key.encode()
            peer.curve_secretkey = self._access.secret_key.encode()
            peer.connect(birth.endpoint)
            self._peers[engine] = peer
        return self._peers[engine]


class _Permitted:
    """Says which keys may connect: the cluster's own."""

    def __init__(self, public_key: str) -> None:
        self._key = public_key.encode()

    def callback(self, _domain: str, key: bytes) -> bool:
        return key == self._key


def _listen_on(recorder: str) -> tuple[str, str]:
    """This host's IPv4 address to listen on, and the interface that has it."""
    known = {
        address.address: name
        for name, addresses in psutil.net_if_addrs().items()
        for address in addresses
        if address.family == socket.AF_INET
    }
    wanted = os.environ.get(INTERFACE_VARIABLE)
    if wanted is None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect((recorder, _ANY_PORT))  # sends nothing
            host: str = probe.getsockname()[0]
        return host, known[host]
    for host, name in known.items():
        if name == wanted:
            return host, name
    raise GroupError(
        f"Engines listen on one network interface of their host, but {socket.gethostname()} has"
        f" none that is called {wanted!r}. It has: {', '.join(sorted(set(known.values())))}."
    )
