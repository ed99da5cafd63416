"""Engines without a kernel: ``simulated_engines.py CONNECTION_FILE FIRST_ID COUNT``.

Each has the sockets of a real one (three for cells, one for control, two for heartbeats, one for
output, all with CURVE), registers under its id, beats, and answers each cell at once. One process
plays hundreds. It prints ``registered`` when all are known to the hub, and ends with its input.
"""

from __future__ import annotations

import asyncio
import json
import sys
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import zmq
import zmq.asyncio
from ipyparallel.serialize import serialize_object
from jupyter_client.session import Session

_AT_ONCE = 32
_REPLIES = {"apply_request": "apply_reply", "execute_request": "execute_reply"}


class Simulated:
    """One engine.

    Args:
        context: of its process.
        session: that signs its messages.
        info: the controller's connection file.
        number: its id.
    """

    def __init__(
        self, context: zmq.asyncio.Context, session: Session, info: Mapping[str, Any], number: int
    ) -> None:
        self.number = number
        self._session = session
        self._context = context
        self._info = info
        self._identity = str(uuid.uuid4()).encode()
        self._public, self._secret = zmq.curve_keypair()
        self._tasks: list[asyncio.Task[None]] = []

    async def register(self) -> None:
        """Become known to the hub."""
        # Hearts beat before the hub asks for them.
        ping, pong = self._socket(zmq.SUB, "hb_ping"), self._socket(zmq.DEALER, "hb_pong")
        self._tasks.append(asyncio.create_task(_beat(ping, pong)))
        registrar = self._socket(zmq.DEALER, "registration")
        content = {"uuid": self._identity.decode(), "id": self.number}
        await registrar.send_multipart(self._frames("registration_request", content))
        _, frames = self._session.feed_identities(await registrar.recv_multipart())
        reply = self._session.deserialize(frames)["content"]
        assert reply["status"] == "ok", reply
        leaf = self.number % len(self._info["broadcast"])
        cells = self._socket(zmq.ROUTER, "mux", "task")
        cells.connect(self._url(self._info["broadcast"][leaf]))
        self._socket(zmq.ROUTER, "control")
        output = self._socket(zmq.PUB, "iopub")
        self._tasks.append(asyncio.create_task(self._serve(cells, output)))

    async def _serve(self, cells: zmq.asyncio.Socket, output: zmq.asyncio.Socket) -> None:
        while True:
            idents, frames = self._session.feed_identities(await cells.recv_multipart())
            parent = self._session.deserialize(frames)
            kind = parent["header"]["msg_type"]
            for state in ("busy", "idle"):
                status = self._frames("status", {"execution_state": state}, parent)
                await output.send_multipart([f"engine.{self.number}.status".encode(), *status])
            buffers = serialize_object(True) if kind == "apply_request" else []
            content = {"status": "ok", "execution_count": 1, "user_expressions": {}}
            reply = self._frames(_REPLIES[kind], content, parent)
            await cells.send_multipart([*idents, *reply, *buffers])

    def _socket(self, kind: int, *keys: str) -> zmq.asyncio.Socket:
        socket = self._context.socket(kind)
        socket.linger = 0
        socket.identity = self._identity
        socket.curve_serverkey = self._info["curve_serverkey"].encode()
        socket.curve_publickey, socket.curve_secretkey = self._public, self._secret
        if kind == zmq.SUB:
            socket.subscribe(b"")
        for key in keys:
            socket.connect(self._url(self._info[key]))
        return socket

    def _url(self, port: int) -> str:
        return f"{self._info['interface']}:{port}"

    def _frames(
        self, kind: str, content: dict[str, Any], parent: Mapping[str, Any] | None = None
    ) -> list[bytes]:
        metadata = {"engine": self._identity.decode(), "status": "ok", "dependencies_met": True}
        header = None if parent is None else parent["header"]
        message = self._session.msg(kind, content=content, parent=header, metadata=metadata)
        frames: list[bytes] = self._session.serialize(message)
        return frames


async def _beat(ping: zmq.asyncio.Socket, pong: zmq.asyncio.Socket) -> None:
    while True:
        await pong.send_multipart(await ping.recv_multipart())


async def play(info: Mapping[str, Any], first: int, count: int) -> None:
    """Play engines until standard input ends."""
    context = zmq.asyncio.Context(io_threads=1)
    context.set(zmq.MAX_SOCKETS, 20 * count)
    session = Session(key=info["key"].encode(), signature_scheme=info["signature_scheme"])
    engines = [Simulated(context, session, info, first + number) for number in range(count)]
    few = asyncio.Semaphore(_AT_ONCE)

    async def register(engine: Simulated) -> None:
        async with few:
            await engine.register()

    await asyncio.gather(*(register(engine) for engine in engines))
    print("registered", flush=True)
    await asyncio.to_thread(sys.stdin.read)


def main() -> None:
    """Read the words of the command line."""
    file, first, count = sys.argv[1:]
    asyncio.run(play(json.loads(Path(file).read_text()), int(first), int(count)))


if __name__ == "__main__":
    main()
