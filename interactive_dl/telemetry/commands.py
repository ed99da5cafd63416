"""The command that starts one engine, which notebooks give to mpiexec, engines to MPI; and what
connects the engines that it starts.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

Collectives = Literal["mpi", "gloo"]
COLLECTIVES: tuple[Collectives, ...] = ("mpi", "gloo")
COLLECTIVES_VARIABLE = "IDL_COLLECTIVES"
"""Environment variable of engines: what connects them; MPI where it is not set."""


def without_mpi() -> bool:
    """Whether this process is of an engine that no MPI connects to others."""
    return os.environ.get(COLLECTIVES_VARIABLE) == "gloo"


OUTLIVES_SIGTERM = "IDL_OUTLIVES_SIGTERM"
"""Environment variable: set where SIGTERM warns of an end that somebody else prepares for."""
ENDS_ALL = "IDL_ENDS_ALL"
"""Environment variable: set where an engine that dies is to end those that were started with it, by
its watcher's exit code."""


def engine_command(
    folder: Path,
    engine: int | None = None,
    world: Sequence[int] = (),
    *,
    is_invited: bool = False,
) -> tuple[str, ...]:
    """The program that starts an engine, with its words.

    Args:
        folder: the cluster's folder.
        engine: its id; by default its rank among those that are started together.
        world: ids by rank of the world that it is to join; by default that of mpiexec.
        is_invited: whether it is to join a training that runs.
    """
    command = [sys.executable, "-m", "interactive_dl.engine", "--folder", str(folder)]
    if engine is not None:
        command += ["--id", str(engine), "--world", ",".join(map(str, world))]
    if is_invited:
        command.append("--invited")
    return tuple(command)
