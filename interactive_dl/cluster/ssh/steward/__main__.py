"""See ``interactive_dl.cluster.ssh.steward``."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from interactive_dl.cluster._description import Description
from interactive_dl.cluster._places import Places
from interactive_dl.cluster.slurm.steward._steward import Steward
from interactive_dl.cluster.slurm.worlds import World, is_to_end
from interactive_dl.cluster.ssh.request import request_of
from interactive_dl.cluster.ssh.steward._guards import Guards
from interactive_dl.telemetry.commands import without_mpi

_LOG = logging.getLogger("interactive_dl.cluster")


def main(words: Sequence[str] | None = None) -> int:
    """Look after a world until the cluster is stopped; its exit code."""
    options = _parse(words)
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr
    )
    folder: Path = options.folder
    places = Places(folder.name, folder.parent.parent)
    request = request_of(Description.read(places.description).options.request)
    with Guards(places, request) as guards:
        if missing := guards.unfit():
            _LOG.error("No engines are started: %s cannot be used.", ", ".join(missing))
            return 1
        steward = Steward(
            folder=folder,
            nodes=guards,
            command=options.command,
            restart=request.restart and not without_mpi(),
            is_elastic=without_mpi(),
        )
        code = steward.run()
    told = World.read(folder, guards.job) if folder.exists() else None
    if told is not None and told.stage != "over" and not is_to_end(folder, guards.job):
        why = steward.why_over(told, told.hosts)
        replace(told, stage="over", reason=why).write(folder)
    return code


def _parse(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m interactive_dl.cluster.ssh.steward")
    parser.add_argument("--folder", type=Path, required=True, help="the cluster's folder")
    parser.add_argument("command", nargs="+", help="starts the engines")
    return parser.parse_args(words)


if __name__ == "__main__":
    sys.exit(main())
