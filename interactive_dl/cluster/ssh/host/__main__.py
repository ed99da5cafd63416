"""See ``interactive_dl.cluster.ssh.host``."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from interactive_dl.cluster.ssh.host import TOKEN


def main(words: Sequence[str]) -> None:
    """Look, or guard until nobody asks any more."""
    part, first, *rest = words
    # Each brings in what the other does without, on a file system that may be slow.
    if part == "look":
        from interactive_dl.cluster.ssh.host._look import look

        address, port = rest
        look(Path(first), address, int(port), os.environ[TOKEN])
    else:
        from interactive_dl.cluster.ssh.host._guard import Guard

        # It comes from the next guard: that one cleans up, and would be swept itself.
        signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
        Guard(Path(first), Path(rest[0])).run()


if __name__ == "__main__":
    main(sys.argv[1:])
