"""The first process of a job: starts the world of engines, and looks after it.

    python -m interactive_dl.cluster.slurm.steward --folder F --per-node K --launcher mpiexec
        -- mpiexec -n N ...

- **The allocation ends** (SIGUSR1 from Slurm before the time is over; SIGTERM when the job is
  cancelled or makes room for another): all that runs is asked, through the recorder, to let go of
  the engines. Slurm sends SIGTERM to every process of the job; MPI's own would end the world at
  once, so they are started with it blocked, and engines ignore it. Slurm kills them in the end.
  While a job that makes room has some grace, only its steps get the signal: a step that keeps the
  nodes clean passes it on to the steward.
- **Slurm starts the job a second time**, although it was told not to, after engines had been
  started in it: it ends at once, because notebook, controller and recorder know other engines.
- **The world ends** although nobody asked for it, as MPI does with all of them when a rank dies on
  several nodes: it is started again, with fresh engine ids, on the nodes that Slurm has not taken
  out of service and that answer. What had trained begins again from its last checkpoint
  (``cluster.resuming``).
- **A node falls silent**: after some seconds it is named, after some more the world is ended, and
  started again without it.
- **This node falls silent** for all others: its engines are ended, and none is started. Slurm gives
  the job up, and what it trained goes on in another one (``cluster.renew()``).
- **Without MPI** (``collectives="gloo"``) a death, or a silent node, ends nobody else: the others
  go on, and nothing is started again. So that they leave in time even when it is this node that is
  lost, the recorder is told beforehand when it is to ask them, again and again: somebody may change
  the job's time.
- **The cluster is stopped**: the world is killed.

``F/job-N.json`` tells how it stands (``slurm.worlds``).
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from interactive_dl.cluster.slurm.launchers import Launcher


def steward_command(
    folder: Path,
    per_node: int,
    launcher: Launcher,
    command: Sequence[str],
    *,
    warn_s: int,
    restart: bool,
) -> tuple[str, ...]:
    """The program that looks after a world.

    Args:
        folder: the cluster's.
        per_node: engines on each node.
        launcher: what starts them.
        command: its command for all of them, and the engine's own words.
        warn_s: seconds before the end of the job at which it is told so; 0 for never.
        restart: whether a world that has ended is started again.
    """
    words = ["--folder", str(folder), "--per-node", str(per_node), "--launcher", launcher.name]
    words += ["--warn-s", str(warn_s)]
    words += ["--restart"] * restart
    return ("python", "-m", __name__, *words, "--", *command)


def keeper_command() -> tuple[str, ...]:
    """The program that keeps a node clean, but for its last words: the folder that it removes, and
    the steward's process id.
    """
    return ("python", str(Path(__file__).with_name("_keeper.py")))


def launch_agent() -> str:
    """What Open MPI is to start on the other nodes: its daemon, deaf to SIGTERM."""
    return f"{sys.executable} {Path(__file__).with_name('_deaf.py')} prted"
