"""What ``idl doctor`` looks at. Nothing here judges; a probe that fails says why.

MPI and Horovod are loaded in processes of their own: a broken one may end its process.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil

from interactive_dl.cluster._places import ipython_folder
from interactive_dl.cluster.environment import mpiexec_arguments

PACKAGES = (
    "tensorflow",
    "tensorflow-cpu",
    "keras",
    "torch",
    "horovod",
    "mpi4py",
    "ipyparallel",
)
_TIMEOUT_S = 120


@dataclass(frozen=True)
class Answer:
    """What a probe process said: ``facts``, or the ``problem`` that kept it from answering."""

    facts: dict[str, Any] | None
    problem: str = ""


@dataclass(frozen=True)
class Mpiexec:
    """The ``mpiexec`` that a cluster would start: its path, and what it says it is."""

    path: str | None
    version: str = ""


@dataclass(frozen=True)
class Machine:
    """Sizes in bytes; ``cores`` that this process may use. Without /dev/shm its sizes are None."""

    cores: int
    memory_bytes: int
    memory_free_bytes: int
    shm_bytes: int | None
    shm_free_bytes: int | None


@dataclass(frozen=True)
class ConnectionFile:
    """A controller's connection file: its permission bits, and the address it listens on."""

    path: Path
    mode: int
    interface: str


def package_versions() -> dict[str, str]:
    """Version of each package of interest that is installed."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def ask(question: str, environment: Mapping[str, str]) -> Answer:
    """Put a question to ``interactive_dl.engine.probe`` in one process."""
    return _answer([sys.executable, "-m", "interactive_dl.engine.probe", question], environment)


def ask_ranks(question: str, ranks: int, environment: Mapping[str, str]) -> Answer:
    """Put a question to ``ranks`` processes under mpiexec; the first to speak answers."""
    words = [*mpiexec_arguments(ranks, fault_tolerant=False), sys.executable]
    return _answer([*words, "-m", "interactive_dl.engine.probe", question], environment)


def mpiexec(environment: Mapping[str, str]) -> Mpiexec:
    """The first ``mpiexec`` in the environment's ``PATH``."""
    path = shutil.which("mpiexec", path=environment["PATH"])
    if path is None:
        return Mpiexec(None)
    shown = _run([path, "--version"], environment)
    return Mpiexec(path, (shown.stdout or shown.stderr).strip())


def machine() -> Machine:
    """Cores, memory and shared memory."""
    memory = psutil.virtual_memory()
    shm = shutil.disk_usage("/dev/shm") if Path("/dev/shm").is_dir() else None
    return Machine(
        cores=len(os.sched_getaffinity(0)),
        memory_bytes=memory.total,
        memory_free_bytes=memory.available,
        shm_bytes=shm.total if shm else None,
        shm_free_bytes=shm.free if shm else None,
    )


def gpus() -> tuple[str, ...]:
    """One line for each GPU that ``nvidia-smi`` lists."""
    if shutil.which("nvidia-smi") is None:
        return ()
    shown = _run(["nvidia-smi", "-L"], {})
    return tuple(line.strip() for line in shown.stdout.splitlines() if line.startswith("GPU"))


def connection_files(ipython: Path | None = None) -> tuple[ConnectionFile, ...]:
    """Connection files of all controllers of this user.

    Args:
        ipython: IPython's folder; by default this user's.
    """
    paths = sorted((ipython or ipython_folder()).glob("profile_*/security/ipcontroller-*.json"))
    found = []
    for path in paths:
        try:
            interface = json.loads(path.read_text()).get("interface", "")
            found.append(ConnectionFile(path, path.stat().st_mode & 0o777, interface))
        except FileNotFoundError:
            # Its cluster was stopped in between.
            continue
    return tuple(found)


def _answer(command: Sequence[str], environment: Mapping[str, str]) -> Answer:
    try:
        shown = _run(command, environment)
    except (OSError, subprocess.TimeoutExpired) as error:
        return Answer(None, str(error))
    lines = [line for line in shown.stdout.splitlines() if line.startswith("{")]
    if shown.returncode == 0 and lines:
        return Answer(json.loads(lines[0]))
    said = [line.strip() for line in (shown.stderr or shown.stdout).splitlines() if line.strip()]
    errors = [line for line in said if "Error" in line and not line.startswith(("File", "^"))]
    reason = (errors or said or ["it printed nothing"])[-1]
    return Answer(None, f"exit code {shown.returncode}: {reason[:300]}")


def _run(
    command: Sequence[str], environment: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    # A process that starts MPI by itself, without mpiexec, leaves its shared memory behind.
    shm = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shm if shm.is_dir() else None) as volatile:
        ours = {"OMPI_MCA_btl_sm_backing_directory": volatile}
        return subprocess.run(
            command,
            env={**os.environ, **ours, **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
