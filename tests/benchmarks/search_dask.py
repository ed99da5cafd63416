"""Dask's turn, plain tasks: ``search_dask.py EMPTY LASTING FILE``; see ``search_peers``.

Nothing but the parameters and what the tasks return: no books.
"""

from __future__ import annotations

import json
import random
import sys
import time
from pathlib import Path

from distributed import Client, LocalCluster

WORKERS = 4


def objective(x: float, lasts_s: float) -> float:
    """A task."""
    if lasts_s:
        time.sleep(lasts_s)
    return x


def searched(client: Client, trials: int, lasts_s: float) -> tuple[float, float]:
    """When the first task was submitted, and all had been gathered."""
    points = [random.random() for _ in range(trials)]
    began_s = time.time()
    futures = client.map(objective, points, lasts_s=lasts_s, pure=False)
    assert client.gather(futures) == points
    return began_s, time.time()


def main() -> None:
    """Take a turn."""
    empties, lastings, file = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    with (
        LocalCluster(
            n_workers=WORKERS, threads_per_worker=1, host="127.0.0.1", dashboard_address=None
        ) as cluster,
        Client(cluster) as client,
    ):
        client.wait_for_workers(WORKERS)
        searched(client, 2 * WORKERS, 0.0)
        told = {
            "empty": searched(client, empties, 0.0),
            "lasting": searched(client, lastings, 0.5),
        }
        file.write_text(json.dumps(told))


if __name__ == "__main__":
    main()
