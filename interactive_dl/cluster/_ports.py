"""Ports for a controller and its recorder that no other program takes in between.

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
    """``count`` ports that are free at an address of this host and not ephemeral.

    They follow one another. Two who draw at the same time, before either binds what it has drawn,
    meet more seldom than if each port were drawn by itself.

    Raises:
        OSError: there are not as many.
    """
    end = max(_ephemeral_start(), _LOWEST + 10 * count)
    starts = range(_LOWEST, end - count + 1)
    for start in random.SystemRandom().sample(starts, len(starts)):
        ports = tuple(range(start, start + count))
        if all(_is_free(port, address) for port in ports):
            return ports
    raise OSError(f"Of the ports from {_LOWEST} to {end - 1} no {count} in a row are free.")


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
