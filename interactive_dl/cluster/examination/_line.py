"""The line between nodes and the host of the notebook: requests and replies over ZeroMQ."""

from __future__ import annotations

import threading
import time
from typing import Literal

import msgspec
import zmq

Kind = Literal["node", "job"]
"""Of an answer: what a node sees, or what its job came to."""

_POLL_MS = 100
_EXCHANGES = 5
_LARGEST_BYTES = 2**20


class _Call(msgspec.Struct, frozen=True):
    """A caller's words; without a kind it asks for the time only."""

    token: str
    kind: Kind | None = None
    data: bytes = b""


class Listener:
    """Listens at an address while the ``with`` block runs, in a thread.

    Args:
        address: IPv4, of this host.
        token: that callers must know.

    Attributes:
        port: where it listens.
    """

    def __init__(self, address: str, token: str) -> None:
        self._token = token
        self._lock = threading.Lock()
        self._answers: dict[Kind, list[bytes]] = {"node": [], "job": []}
        self._is_over = threading.Event()
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.REP)
        self._socket.maxmsgsize = _LARGEST_BYTES
        self.port = self._socket.bind_to_random_port(f"tcp://{address}")
        self._thread = threading.Thread(target=self._listen, name="preflight", daemon=True)

    def __enter__(self) -> Listener:
        self._thread.start()
        return self

    def __exit__(self, *_ended: object) -> None:
        self._is_over.set()
        self._thread.join()
        self._socket.close(linger=0)
        self._context.term()

    def answers(self, kind: Kind) -> list[bytes]:
        """What callers have brought so far."""
        with self._lock:
            return list(self._answers[kind])

    def _listen(self) -> None:
        while not self._is_over.is_set():
            if self._socket.poll(_POLL_MS):
                first, *_ = self._socket.recv_multipart()  # a stranger may send more
                self._socket.send(self._take(first))

    def _take(self, frame: bytes) -> bytes:
        try:
            call = msgspec.msgpack.decode(frame, type=_Call)
        except msgspec.MsgspecError:
            return b""
        if call.token != self._token:
            return b""
        if call.kind is not None:
            with self._lock:
                self._answers[call.kind].append(call.data)
        return msgspec.msgpack.encode(time.time())


class Caller:
    """Calls a listener.

    Args:
        address, port: of it.
        token: that it knows.
        timeout_s: how long to wait for each of its replies.
    """

    def __init__(self, address: str, port: int, token: str, timeout_s: float) -> None:
        self._token = token
        self._timeout_s = timeout_s
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.REQ)
        self._socket.linger = 0
        self._socket.connect(f"tcp://{address}:{port}")

    def clock(self) -> tuple[float, float]:
        """The shortest of some round trips, and by how much this clock is ahead; both in seconds.

        Raises:
            TimeoutError: no reply.
        """
        seen = []
        for _ in range(_EXCHANGES):
            asked_s = time.time()
            theirs_s = self._exchange(_Call(self._token))
            replied_s = time.time()
            seen.append((replied_s - asked_s, (asked_s + replied_s) / 2 - theirs_s))
        return min(seen)

    def bring(self, kind: Kind, data: bytes) -> None:
        """Bring an answer.

        Raises:
            TimeoutError: no reply.
        """
        self._exchange(_Call(self._token, kind, data))

    def close(self) -> None:
        """Hang up."""
        self._socket.close()
        self._context.term()

    def _exchange(self, call: _Call) -> float:
        self._socket.send(msgspec.msgpack.encode(call))
        if not self._socket.poll(round(1000 * self._timeout_s)):
            raise TimeoutError(f"no reply within {self._timeout_s:g} s")
        return msgspec.msgpack.decode(self._socket.recv(), type=float)
