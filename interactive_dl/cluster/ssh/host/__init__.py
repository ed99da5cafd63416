"""What runs on each host at the other end of an ssh connection.

    python -m interactive_dl.cluster.ssh.host look WORDS      says what the host sees, and ends
    python -m interactive_dl.cluster.ssh.host examine WORDS   says what it has, besides
    python -m interactive_dl.cluster.ssh.host guard WORDS     keeps the host clean

Its lines begin with ``SIGN``: shells print what they like before.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

Part = Literal["look", "examine"]
SIGN = "interactive_dl: "
TOKEN = "IDL_LOOK_TOKEN"
"""Environment variable of a looker: no command line shows it."""


def look_command(part: Part, mark: Path, address: str, port: int) -> Sequence[str]:
    """Whether this host sees a file and reaches another host.

    Args:
        part: ``look``, or ``examine`` for all that a doctor asks.
        mark: the file, which holds the word of ``TOKEN``.
        address, port: of an ``examination`` listener on the notebook's host, which knows it.
    """
    return ("python", "-m", __name__, part, str(mark), address, str(port))


def guard_command(folder: Path, scratch: Path) -> Sequence[str]:
    """Look after what a cluster runs on this host.

    Args:
        folder: the cluster's.
        scratch: folder on this host, which it makes and removes.
    """
    return ("python", "-m", __name__, "guard", str(folder), str(scratch))
