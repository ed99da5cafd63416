"""Who acts, as journals note it."""

from __future__ import annotations

import getpass
import socket


def who() -> str:
    """This process's user and host."""
    return f"{getpass.getuser()}@{socket.gethostname()}"
