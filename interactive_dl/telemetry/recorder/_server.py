"""The recorder's sockets: a thin loop around ``Recording``."""

from __future__ import annotations

import functools
import logging
import signal
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import msgspec
import zmq
from zmq.utils import z85

from interactive_dl.telemetry import beside, exits, wire
from interactive_dl.telemetry.journal import package_version
from interactive_dl.telemetry.recorder._recording import Outgoing, Recording

_LOG = logging.getLogger(__name__)
_ZAP = "inproc://zeromq.zap.01"
_TICK_S = 0.1
_AT_ONCE = 200
_LARGEST_MESSAGE_BYTES = 2**26
_HEARTBEAT_MS = 5_000


@dataclass(frozen=True)
class Keys:
    """Z85: the recorder's secret key, and the public key of those who may call."""

    recorder_secret: str
    client_key: str


def serve(endpoint: str, keys: Keys, *, folder: Path, runs: Path) -> None:
    """Record until SIGTERM.

    Args:
        endpoint: to listen on.
        keys: of both sides.
        folder: of the cluster.
        runs: folder of the journals.

    Raises:
        zmq.ZMQError: the port is taken.
    """
    stop = _Stop()
    context = zmq.Context()
    # Without somebody at this address before the other socket is bound, any key would be accepted.
    doorman = context.socket(zmq.REP)
    doorman.linger = 0
    doorman.bind(_ZAP)
    router = context.socket(zmq.ROUTER)
    router.linger = 0
    router.maxmsgsize = _LARGEST_MESSAGE_BYTES
    router.setsockopt(zmq.HEARTBEAT_IVL, _HEARTBEAT_MS)
    router.curve_server = True
    router.curve_secretkey = keys.recorder_secret.encode()
    router.bind(endpoint)
    recording = Recording(
        runs,
        str(folder),
        lambda: exits.exits(folder),
        functools.partial(exits.record_exit, folder),
        functools.partial(beside.start_in_own, folder),
        time.monotonic(),
    )
    _LOG.info("Recording into %s, listening on %s.", runs, endpoint)
    poller = zmq.Poller()
    poller.register(doorman, zmq.POLLIN)
    poller.register(router, zmq.POLLIN)
    tick_s = time.monotonic()
    while not stop.is_wanted:
        ready = dict(poller.poll(max(0, round(1000 * (tick_s - time.monotonic())))))
        if doorman in ready:
            _admit(doorman, keys.client_key)
        if router in ready:
            _serve_callers(router, recording)
        if time.monotonic() >= tick_s:
            _send(router, recording.tick(time.monotonic()))
            tick_s = time.monotonic() + _TICK_S
    recording.close()
    context.destroy(linger=0)
    _LOG.info("Ended by SIGTERM.")


class _Stop:
    def __init__(self) -> None:
        self.is_wanted = False
        signal.signal(signal.SIGTERM, self._hear)

    def _hear(self, _number: int, _frame: FrameType | None) -> None:
        self.is_wanted = True


def _serve_callers(router: zmq.Socket, recording: Recording) -> None:
    """Answer what has come, but not so much that the doorman has to wait."""
    for _ in range(_AT_ONCE):
        try:
            peer, frame = router.recv_multipart(zmq.NOBLOCK)
        except zmq.Again:
            return
        except ValueError:
            continue  # not two frames: not one of our callers
        try:
            message = wire.to_recorder(frame)
        except msgspec.MsgspecError as error:
            answer = wire.Refusal(
                f"This recorder (interactive-dl {package_version()}, protocol {wire.PROTOCOL}) does"
                f" not understand a message: {error}. Use one version everywhere."
            )
            _send(router, [(peer, answer)])
            continue
        _send(router, recording.handle(peer, message, time.monotonic()))


def _send(router: zmq.Socket, outgoing: Iterable[Outgoing]) -> None:
    """What a peer that is gone would have got is dropped by the socket."""
    for peer, message in outgoing:
        router.send_multipart([peer, wire.encode(message)])


def _admit(doorman: zmq.Socket, client_key: str) -> None:
    """Answer ZeroMQ's question (RFC 27) whether a caller's key is permitted."""
    version, request, _domain, _address, _identity, mechanism, *credentials = (
        doorman.recv_multipart()
    )
    permitted = mechanism == b"CURVE" and credentials == [z85.decode(client_key)]
    status = [b"200", b"OK"] if permitted else [b"400", b"This key is not permitted."]
    doorman.send_multipart([version, request, *status, b"", b""])
