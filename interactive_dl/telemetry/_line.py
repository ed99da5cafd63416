"""An encrypted line to the recorder, and a way to wake the thread that listens on it."""

from __future__ import annotations

import os
import threading
import time

import zmq

from interactive_dl.errors import RecorderRefusedError, RecorderUnreachableError
from interactive_dl.telemetry import wire
from interactive_dl.telemetry._address import Address
from interactive_dl.telemetry.journal import package_version

_RECONNECT_MS = 50
_AGAIN_S = 1.0
_HEARTBEAT_MS = 5_000


class Wake:
    """Ends another thread's ``Line.wait``; set from any thread, any number of times.

    The one that waits may close it meanwhile: there is nobody to be woken then. A signal may come
    in the middle and set it, too.
    """

    def __init__(self) -> None:
        self.descriptor = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._closing = threading.RLock()

    def set(self) -> None:
        with self._closing:
            if self.descriptor >= 0:
                os.eventfd_write(self.descriptor, 1)

    @property
    def is_set(self) -> bool:
        return self.wait(0.0)

    def wait(self, timeout_s: float) -> bool:
        """Wait until it is set; whether it is."""
        return bool(zmq.zmq_poll([(self.descriptor, zmq.POLLIN)], round(1000 * timeout_s)))

    def clear(self) -> None:
        try:
            os.eventfd_read(self.descriptor)
        except BlockingIOError:
            return

    def close(self) -> None:
        with self._closing:
            if self.descriptor >= 0:
                os.close(self.descriptor)
                self.descriptor = -1


class Line:
    """A connection of one thread to the recorder; lost ones are made anew by ZeroMQ."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.DEALER)
        self._socket.linger = 0
        # Nothing is queued for a recorder that is not there: it would come before the Hello.
        self._socket.immediate = True
        self._socket.reconnect_ivl = _RECONNECT_MS
        self._socket.setsockopt(zmq.HEARTBEAT_IVL, _HEARTBEAT_MS)
        self._socket.curve_serverkey = address.recorder_key.encode()
        self._socket.curve_publickey = address.client_key.encode()
        self._socket.curve_secretkey = address.client_secret.encode()
        self._socket.connect(address.endpoint)

    def send(self, message: wire.Message) -> bool:
        """Send without waiting; False while there is no connection, or it is congested."""
        try:
            self._socket.send(wire.encode(message), zmq.NOBLOCK)
        except zmq.Again:
            return False
        return True

    def receive(self) -> wire.FromRecorder | None:
        """The next message that has come; None if none has."""
        try:
            return wire.from_recorder(self._socket.recv(zmq.NOBLOCK))
        except zmq.Again:
            return None

    def wait(self, timeout_s: float, wake: Wake | None = None, *, to_send: bool = False) -> None:
        """Wait until something has come, ``wake`` is set or the time is over.

        Args:
            timeout_s: how long at most.
            wake: ends the waiting.
            to_send: return as well when something can be sent.
        """
        poller = zmq.Poller()
        poller.register(self._socket, zmq.POLLIN | (zmq.POLLOUT if to_send else 0))
        if wake is not None:
            poller.register(wake.descriptor, zmq.POLLIN)
        poller.poll(max(0, round(1000 * timeout_s)))

    def greet(self, hello: wire.Hello, timeout_s: float) -> wire.HelloAck:
        """Say hello, and wait for the answer.

        Raises:
            RecorderUnreachableError: there is none.
            RecorderRefusedError: it is a refusal.
        """
        answer = self.ask(hello, timeout_s)
        if isinstance(answer, wire.Refusal):
            raise RecorderRefusedError(
                f"The recorder at {self.address.endpoint} refused: {answer.reason}"
            )
        assert isinstance(answer, wire.HelloAck)
        return answer

    def ask(self, question: wire.Message, timeout_s: float) -> wire.FromRecorder:
        """Send, and wait for the answer; for connections that do nothing else meanwhile.

        The question is sent again where the recorder may have died over it, so it must be one that
        makes no difference when it comes twice.

        Raises:
            RecorderUnreachableError: there is none.
        """
        number = getattr(question, "request", 0)
        deadline_s = time.monotonic() + timeout_s
        again_s = 0.0
        while (now_s := time.monotonic()) < deadline_s:
            if now_s >= again_s and self.send(question):
                again_s = now_s + _AGAIN_S
            self.wait(min(deadline_s - now_s, _AGAIN_S), to_send=now_s >= again_s)
            answer = self.receive()
            if answer is not None and getattr(answer, "request", 0) == number:
                return answer
        raise RecorderUnreachableError(
            f"A recorder answers, but the one at {self.address.endpoint} did not within"
            f" {timeout_s:g} s: it has ended, a firewall is between, or the keys are of another"
            " cluster (the cluster was restarted?). See recorder.log in the cluster's folder; type:"
            " cluster.restart()"
        )

    def close(self) -> None:
        """Hang up; may be called again."""
        self._socket.close()
        self._context.term()


def hello(run: str = "", engine: int = 0, first_seq: int = 0) -> wire.Hello:
    """This package's greeting."""
    return wire.Hello(wire.PROTOCOL, package_version(), run, engine, first_seq)
