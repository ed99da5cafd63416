"""What an account sees of another on its host: ``python neighbour.py UID HOME [PORT ...]``.

Prints JSON: how many clusters there are for it, what it is told about the other's home, and how
each port that the other listens on answers somebody without keys; but for those named.
"""

from __future__ import annotations

import json
import socket
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

_LISTEN = "0A"
_TIMEOUT_S = 2.0
# ZMTP 3.0, https://rfc.zeromq.org/spec/23: signature, version; mechanism, as a client, filler.
_HELLO = b"\xff" + bytes(8) + b"\x7f\x03"
_NO_KEYS = b"\x00" + b"NULL".ljust(20, b"\0") + bytes(32)
_READY = b"\x05READY" + b"\x0bSocket-Type" + b"\x00\x00\x00\x04PUSH"
_MECHANISM = slice(12, 32)
_GREETING_BYTES = 64


def doors(uid: int) -> Iterator[tuple[str, int]]:
    """Addresses and ports that an account listens on, as the kernel shows them to everybody."""
    for table in ("tcp", "tcp6"):
        for line in Path("/proc/net", table).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == _LISTEN and int(fields[7]) == uid:
                address, port = fields[1].split(":")
                words = [
                    bytes.fromhex(address[at : at + 8])[::-1] for at in range(0, len(address), 8)
                ]
                yield str(ip_address(b"".join(words))), int(port, 16)


def answer(address: str, port: int) -> str:
    """``CURVE``; ``NULL`` and the type of a ZeroMQ socket that wants no keys; or HTTP's status."""
    try:
        with socket.create_connection((address, port), _TIMEOUT_S) as connection:
            connection.sendall(_HELLO)
            greeting = _received(connection, _MECHANISM.stop)
            mechanism = greeting[_MECHANISM].rstrip(b"\0").decode()
            if mechanism != "NULL":
                return mechanism
            connection.sendall(_NO_KEYS + b"\x04" + bytes([len(_READY)]) + _READY)
            _received(connection, _GREETING_BYTES - len(greeting))
            _, _, kind = connection.recv(_GREETING_BYTES).partition(b"Socket-Type")
            return f"NULL {kind[4 : 4 + kind[3]].decode()}"
    except TimeoutError:
        return _status(f"http://{address}:{port}/")


def _received(connection: socket.socket, count: int) -> bytes:
    """So many bytes; fewer where the other end closes."""
    received = b""
    while len(received) < count and (part := connection.recv(count - len(received))):
        received += part
    return received


def _status(url: str) -> str:
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as reply:
            return f"HTTP {reply.status}"
    except urllib.error.HTTPError as error:
        return f"HTTP {error.code}"


def _home(folder: Path) -> str:
    try:
        return str(list(folder.iterdir()))
    except PermissionError as error:
        return type(error).__name__


def main(uid: str, home: str, *left_out: str) -> None:
    """See the module."""
    import interactive_dl as idl

    answers = {
        f"{address}:{port}": answer(address, port)
        for address, port in doors(int(uid))
        if str(port) not in left_out
    }
    seen = {"clusters": len(idl.Cluster.list()), "home": _home(Path(home)), "doors": answers}
    print(json.dumps(seen))


if __name__ == "__main__":
    main(*sys.argv[1:])
