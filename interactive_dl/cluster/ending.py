"""End a cluster on the host that it was started on, for somebody on another one.

    python -m interactive_dl.cluster.ending --cluster ID

Its recorder starts this, and is to end, too: nobody ends who he descends from, so that this leaves
its parent first.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence

from interactive_dl.cluster._cluster import Cluster

_POLL_S = 0.01


def main(words: Sequence[str] | None = None) -> int:
    """Leave the parent, and end the cluster."""
    parser = argparse.ArgumentParser(prog="python -m interactive_dl.cluster.ending")
    parser.add_argument("--cluster", required=True, help="its id")
    cluster = parser.parse_args(words).cluster
    parent = os.getpid()
    if os.fork():
        return 0
    while os.getppid() == parent:
        time.sleep(_POLL_S)
    Cluster.recorded(cluster).stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
