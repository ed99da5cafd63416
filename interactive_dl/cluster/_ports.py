"""Ports for a controller that no other program takes in between.

ipyparallel picks free ports, lets go of them, and its child processes bind them seconds later. By
then the kernel may have given one away to anybody's outgoing connection, and engines would
register without ever being seen. The kernel gives away ephemeral ports only; these lie below.
"""

from __future__ import annotations

import random
import socket
from pathlib import Path

_LOWEST = 15_000
_EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")
_USUAL_EPHEMERAL_START = 32_768


def quiet_ports(count: int, address: str = "127.0.0.1") -> tuple[int, ...]:
    """``count`` ports that are free at an address of this host and not ephemeral."""
    end = max(_ephemeral_start(), _LOWEST + 10 * count)
    found: list[int] = []
    for port in random.SystemRandom().sample(range(_LOWEST, end), end - _LOWEST):
        if len(found) == count:
            break
        if _is_free(port, address):
            found.append(port)
    return tuple(found)


def _ephemeral_start() -> int:
    if not _EPHEMERAL.exists():
        return _USUAL_EPHEMERAL_START
    return int(_EPHEMERAL.read_text().split()[0])


def _is_free(port: int, address: str) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((address, port))
        except OSError:
            return False
    return True
