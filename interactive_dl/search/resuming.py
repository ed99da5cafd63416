"""Searches whose engines were taken away go on, on those that their cluster has now.

    python -m interactive_dl.search.resuming --cluster ID

A search that is still on its way off the old engines is waited for.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from interactive_dl.cluster import Cluster
from interactive_dl.errors import SearchError
from interactive_dl.search import _launching
from interactive_dl.search.search import Search


def main(arguments: Sequence[str] | None = None) -> int:
    """Resume what there is, and print the name of each."""
    parser = argparse.ArgumentParser(prog="python -m interactive_dl.search.resuming")
    parser.add_argument("--cluster", required=True, help="its id")
    cluster = Cluster.attach(parser.parse_args(arguments).cluster)
    code = 0
    try:
        for search in _left_by(cluster):
            try:
                search.resume(cluster)
                print(f"{search.name!r} goes on.")
            except SearchError as error:
                print(f"{search.name!r} does not go on: {error}")
                code = 1
            finally:
                search.close()
    finally:
        cluster.close()
    return code


def _left_by(cluster: Cluster) -> list[Search]:
    """Searches of this cluster that have not ended, once nobody runs them any more."""
    runs = cluster.runs_folder
    ours = [
        one
        for one in _launching.searches(runs)
        if _launching.cluster_of(runs, one) == cluster.folder
    ]
    found = [Search.attach(one, cluster=cluster, runs=runs) for one in ours]
    for search in found:
        if search.book.ended is None:
            _launching.await_end(runs, search.id)
    return [search for search in found if search.state == "abandoned"]


if __name__ == "__main__":
    sys.exit(main())
