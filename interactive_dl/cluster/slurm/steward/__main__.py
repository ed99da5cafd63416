"""See ``interactive_dl.cluster.slurm.steward``."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from interactive_dl.cluster.slurm import commands
from interactive_dl.cluster.slurm.launchers import LAUNCHERS
from interactive_dl.cluster.slurm.steward._nodes import JobNodes
from interactive_dl.cluster.slurm.steward._steward import Steward
from interactive_dl.cluster.slurm.worlds import World
from interactive_dl.telemetry.commands import without_mpi

_LOG = logging.getLogger("interactive_dl.cluster")
_AGAIN = (
    "A job of a cluster is started once, but Slurm has started it again: notebook, controller and"
    " recorder know other engines. Type: cluster.renew()"
)


def main(words: Sequence[str] | None = None) -> int:
    """Look after a world until the job is to end; its exit code."""
    options = _parse(words)
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr
    )
    job = int(os.environ["SLURM_JOB_ID"])
    if World.read(options.folder, job) is not None:
        _LOG.error("%s", _AGAIN)
        return 1
    steward = Steward(
        folder=options.folder,
        nodes=JobNodes(
            job,
            options.folder,
            commands.node_names(os.environ["SLURM_JOB_NODELIST"]),
            options.per_node,
            LAUNCHERS[options.launcher],
            options.warn_s,
        ),
        command=options.command,
        restart=options.restart,
        is_elastic=without_mpi(),
    )
    return steward.run()


def _parse(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m interactive_dl.cluster.slurm.steward")
    parser.add_argument("--folder", type=Path, required=True, help="the cluster's folder")
    parser.add_argument("--per-node", type=int, required=True, help="engines on each node")
    parser.add_argument("--launcher", choices=LAUNCHERS, required=True, help="starts them")
    parser.add_argument("--warn-s", type=int, required=True, help="before the end; 0 for never")
    parser.add_argument("--restart", action="store_true", help="start a world that has ended again")
    parser.add_argument("command", nargs="+", help="starts the engines")
    return parser.parse_args(words)


if __name__ == "__main__":
    sys.exit(main())
