"""The command that starts one engine; notebooks give it to mpiexec, engines to MPI."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

OUTLIVES_SIGTERM = "IDL_OUTLIVES_SIGTERM"
"""Environment variable: set where SIGTERM warns of an end that somebody else prepares for."""


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
        engine: its id; by default its rank in the world that mpiexec starts.
        world: ids by rank of the world that it is to join; by default that of mpiexec.
        is_invited: whether it is to join a training that runs.
    """
    command = [sys.executable, "-m", "interactive_dl.engine", "--folder", str(folder)]
    if engine is not None:
        command += ["--id", str(engine), "--world", ",".join(map(str, world))]
    if is_invited:
        command.append("--invited")
    return tuple(command)
