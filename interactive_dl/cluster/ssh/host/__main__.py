"""See ``interactive_dl.cluster.ssh.host``."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

from interactive_dl.cluster.ssh.host import SIGN, TOKEN


def main(words: Sequence[str]) -> None:
    """Look, or guard until nobody asks any more."""
    part, first, *rest = words
    # Each brings in what the others do without, on a file system that may be slow.
    if part == "guard":
        from interactive_dl.cluster.ssh.host._guard import Guard

        # It comes from the next guard: that one cleans up, and would be swept itself.
        signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
        Guard(Path(first), Path(rest[0])).run()
    else:
        address, port = rest
        print(f"{SIGN}{_seen(part, Path(first), address, int(port))}", flush=True)


def _seen(part: str, mark: Path, address: str, port: int) -> str:
    """What this host sees, as JSON."""
    import msgspec

    from interactive_dl.cluster.examination._sight import Sight, Target, sight

    target = Target(mark, address, port, os.environ[TOKEN])
    facts: Sight
    if part == "look":
        facts = sight(target)
    else:
        from interactive_dl.cluster.examination._facts import node_facts

        facts = node_facts(socket.gethostname(), target)
    return msgspec.json.encode(facts).decode()


if __name__ == "__main__":
    main(sys.argv[1:])
