"""The process on the notebook's host that starts a world of engines and looks after it.

    python -m interactive_dl.cluster.ssh.steward --folder F -- mpiexec -n N ...

It does what the steward of a Slurm job does (``slurm.steward``). Instead of Slurm it has a guard on
each host: who does not answer is silent, and who cannot be reached again gets no engines.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from interactive_dl.cluster._places import Places

_SCRIPT = "host.sh"


def steward_command(folder: Path, command: Sequence[str]) -> tuple[str, ...]:
    """The program that looks after a world.

    Args:
        folder: the cluster's.
        command: starts all engines: ``mpiexec -n N ...``, and the engine's own words.
    """
    return (sys.executable, "-m", __name__, "--folder", str(folder), "--", *command)


def script_of(places: Places) -> Path:
    """The file with what a host's shell does first; its words are then what is to run."""
    return places.folder / _SCRIPT
