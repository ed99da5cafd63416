"""Our turn: ``search_ours.py EMPTY LASTING FILE``; see ``search_peers``."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import interactive_dl as idl

WORKERS = 4
LASTS_S = 0.5
TIMEOUT_S = 300.0


def empty(trial: Any) -> float:
    """Does nothing."""
    return float(trial.params["x"])


def lasting(trial: Any) -> float:
    """Takes a while."""

    time.sleep(0.5)
    return float(trial.params["x"])


def searched(cluster: idl.Cluster, objective: Any, trials: int) -> tuple[float, float]:
    """When the first trial of a search was started, and the last one had ended, by its journal."""
    search = idl.Search(objective, {"x": idl.uniform(0.0, 1.0)}, metric="loss", sampler="random")
    search.start(cluster, trials=trials)
    search.wait(TIMEOUT_S)
    book = search.book
    assert book.count_by_state["finished"] == trials, book.count_by_state
    span = (
        min(trial.attempts[0].began_s for trial in book.trials),
        max(trial.ended_s or 0.0 for trial in book.trials),
    )
    search.close()
    return span


def main() -> None:
    """Take a turn."""
    empties, lastings, file = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    with (
        tempfile.TemporaryDirectory(prefix="idl-bench-") as runs,
        idl.Cluster(WORKERS, runs=runs) as cluster,
    ):
        searched(cluster, empty, 2 * WORKERS)
        told = {
            "empty": searched(cluster, empty, empties),
            "lasting": searched(cluster, lasting, lastings),
        }
        file.write_text(json.dumps(told))


if __name__ == "__main__":
    main()
