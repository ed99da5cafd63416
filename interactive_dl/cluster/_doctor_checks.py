"""The doctor's judgement: facts in, findings out. Nothing here touches the machine."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interactive_dl.cluster._doctor_probes import Answer, ConnectionFile, Machine, Mpiexec
from interactive_dl.cluster._mpi_names import mpi_name

_SETUP = "type: make setup"
_SETUP_TORCH = "type: make setup TORCH=1"
_ONE_MPI = f"keep one MPI in the environment; type: {sys.executable} -m pip uninstall mpich impi-rt"
_OPEN_TO_ALL = ("0.0.0.0", "*", "[::]")
# Open MPI's segments are 16 MB for each rank; containers often come with 64 MB in all.
_SHM_AT_LEAST_BYTES = 128 * 2**20


@dataclass(frozen=True)
class Check:
    """One finding.

    Attributes:
        name: what was looked at.
        ok: whether it is as it should be.
        value: what was found.
        cause: why it failed; empty where it is ok.
        fix: what to type; empty where it is ok.
    """

    name: str
    ok: bool
    value: str
    cause: str = ""
    fix: str = ""


def python(version: tuple[int, int, int]) -> Check:
    """The interpreter: Horovod's wheel is built for one version of it."""
    value = ".".join(map(str, version))
    if version[:2] == (3, 11):
        return Check("Python", True, value)
    cause = f"this package and its Horovod wheel are for Python 3.11, not {value}"
    return Check("Python", False, value, cause, "type: make setup PYTHON=python3.11")


def frameworks(packages: Mapping[str, str]) -> tuple[Check, ...]:
    """TensorFlow and Keras must be there; torch may."""
    tensorflow = packages.get("tensorflow") or packages.get("tensorflow-cpu")
    return (
        _installed("TensorFlow", tensorflow),
        _installed("Keras", packages.get("keras")),
        Check("torch", True, packages.get("torch", "not installed (optional: TORCH=1)")),
    )


def horovod_build(answer: Answer, packages: Mapping[str, str], gpus: Sequence[str]) -> Check:
    """What Horovod was built with, and whether that is what this environment needs."""
    name = "Horovod"
    if "horovod" not in packages:
        return Check(name, False, "not installed", "set-up has not built it", _SETUP)
    if answer.facts is None:
        return Check(
            name, False, packages["horovod"], f"it does not load: {answer.problem}", _SETUP
        )
    built: dict[str, dict[str, bool]] = answer.facts["built"]
    parts = [
        f"{one} ({', '.join(part for part, there in with_what.items() if there)})"
        for one, with_what in built.items()
    ]
    value = f"{answer.facts['version']}: {', '.join(parts) or 'no framework'}"
    if "tensorflow" not in built:
        cause = f"it was not built for TensorFlow: {answer.facts['missing']['tensorflow']}"
        return Check(name, False, value, cause, _SETUP)
    if "torch" in packages and "torch" not in built:
        return Check(name, False, value, "torch is installed, it knows none", _SETUP_TORCH)
    if not all(with_what["mpi"] for with_what in built.values()):
        return Check(name, False, value, "it was built without MPI", _SETUP)
    if gpus and not all(with_what["nccl"] for with_what in built.values()):
        cause = "there are GPUs, but it was built without NCCL"
        return Check(name, False, value, cause, "type: make setup GPU=1")
    return Check(name, True, value)


def mpi(mpi4py: Answer, horovod: Answer, mpiexec: Mpiexec) -> tuple[Check, ...]:
    """Which MPI each part uses, and whether they agree."""
    return (
        _mpi_of_mpi4py(mpi4py),
        _mpi_of_mpiexec(mpiexec),
        _mpi_of_horovod(horovod),
        _agreement(mpi4py, horovod, mpiexec),
    )


def allreduce(through: str, answer: Answer, ranks: int) -> Check:
    """A sum over ranks: its value, latency and bandwidth."""
    name = f"allreduce, {through}"
    if answer.facts is None:
        return Check(name, False, "no answer", answer.problem, _SETUP)
    sizes: list[dict[str, Any]] = answer.facts["sizes"]
    value = ", ".join(_speed(one["bytes"], one["seconds"]) for one in sizes)
    if answer.facts["size"] != ranks:
        cause = (
            f"{ranks} ranks were started, but each is alone in a world of size"
            f" {answer.facts['size']}: mpiexec and the library are of two MPIs"
        )
        return Check(name, False, value, cause, _ONE_MPI)
    if wrong := [str(one["bytes"]) for one in sizes if not one["right"]]:
        cause = f"the sum over ranks is wrong at {', '.join(wrong)} bytes"
        return Check(name, False, value, cause, "rebuild Horovod: make clean; make setup")
    return Check(name, True, f"{ranks} ranks: {value}")


def machine(found: Machine) -> tuple[Check, ...]:
    """Cores, memory, shared memory."""
    free = f"{_size(found.memory_free_bytes)} free of {_size(found.memory_bytes)}"
    return (
        Check("cores", True, str(found.cores)),
        Check("memory", True, free),
        _shared_memory(found.shm_bytes, found.shm_free_bytes),
    )


def gpus(found: Sequence[str]) -> Check:
    """GPUs, if any; none is no failure."""
    return Check("GPUs", True, "; ".join(found) or "none found")


def connections(files: Sequence[ConnectionFile]) -> tuple[Check, ...]:
    """Who can read the clusters' keys, and who can reach their controllers."""
    if not files:
        return (Check("connection files", True, "no cluster is running"),)
    return tuple(_connection(file) for file in files)


def _installed(name: str, version: str | None) -> Check:
    if version is not None:
        return Check(name, True, version)
    return Check(name, False, "not installed", f"training needs {name}", _SETUP)


def _mpi_of_mpi4py(answer: Answer) -> Check:
    name = "MPI of mpi4py"
    if answer.facts is None:
        return Check(name, False, "none", f"mpi4py loads no MPI: {answer.problem}", _SETUP)
    found = mpi_name(answer.facts["library"])
    files = ", ".join(answer.facts["files"])
    return Check(name, True, f"{found or answer.facts['library'][:60]} ({files})")


def _mpi_of_mpiexec(mpiexec: Mpiexec) -> Check:
    name = "MPI of mpiexec"
    if mpiexec.path is None:
        cause = "there is no mpiexec in PATH; it starts the engines"
        return Check(name, False, "none", cause, _SETUP)
    found = mpi_name(mpiexec.version)
    return Check(name, True, f"{found or mpiexec.version[:60]} ({mpiexec.path})")


def _mpi_of_horovod(answer: Answer) -> Check:
    name = "MPI of Horovod"
    if answer.facts is None or not answer.facts["files"]:
        return Check(name, False, "none", answer.problem or "it loads no MPI", _SETUP)
    return Check(name, True, ", ".join(answer.facts["files"]))


def _agreement(mpi4py: Answer, horovod: Answer, mpiexec: Mpiexec) -> Check:
    name = "one MPI"
    if mpi4py.facts is None or mpiexec.path is None:
        return Check(name, False, "cannot be told", "one of them has no MPI, see above", _SETUP)
    library, starter = mpi_name(mpi4py.facts["library"]), mpi_name(mpiexec.version)
    if library != starter:
        cause = (
            f"mpi4py loads {library}, but mpiexec ({mpiexec.path}) is {starter}: each rank would be"
            " alone in a world of size 1"
        )
        fix = f"put {Path(sys.prefix) / 'bin'} first in PATH, or {_ONE_MPI}"
        return Check(name, False, f"{library} and {starter}", cause, fix)
    files = set(mpi4py.facts["files"])
    if horovod.facts is not None and not files.issuperset(horovod.facts["files"]):
        theirs = ", ".join(horovod.facts["files"])
        cause = (
            f"mpi4py loads {', '.join(sorted(files))}, but Horovod loads {theirs}: each rank would"
            " be alone in a world of size 1"
        )
        return Check(name, False, "two libraries", cause, f"{_ONE_MPI}; then make setup")
    return Check(name, True, f"{library} everywhere")


def _shared_memory(size_bytes: int | None, free_bytes: int | None) -> Check:
    if size_bytes is None or free_bytes is None:
        cause = "ranks on one host exchange data through it"
        return Check("/dev/shm", False, "none", cause, "mount it: mount -t tmpfs tmpfs /dev/shm")
    value = f"{_size(free_bytes)} free of {_size(size_bytes)}"
    if free_bytes >= _SHM_AT_LEAST_BYTES:
        return Check("/dev/shm", True, value)
    cause = f"ranks exchange data through it, and it has less than {_size(_SHM_AT_LEAST_BYTES)}"
    fix = "remove what killed programs left in it, or start the container with --shm-size=1g"
    return Check("/dev/shm", False, value, cause, fix)


def _connection(file: ConnectionFile) -> Check:
    name = file.path.name.removeprefix("ipcontroller-").removesuffix(".json")
    value = f"{file.interface}, mode {file.mode:04o}"
    if file.mode & 0o077:
        cause = "others can read its key, and run code as you"
        return Check(name, False, value, cause, f"type: chmod 600 {file.path}")
    if any(file.interface.endswith(f"//{address}") for address in _OPEN_TO_ALL):
        cause = "its controller listens on every network of this host"
        fix = "restart it on one address: ipcluster start --ip=127.0.0.1"
        return Check(name, False, value, cause, fix)
    return Check(name, True, value)


def _speed(size_bytes: int, seconds: float) -> str:
    time = f"{seconds * 1e6:.0f} us" if seconds < 1e-3 else f"{seconds * 1e3:.1f} ms"
    return f"{_size(size_bytes)} {time} ({size_bytes / seconds / 1e6:.3g} MB/s)"


def _size(size_bytes: int) -> str:
    for unit, scale in (("GB", 2**30), ("MB", 2**20), ("KB", 2**10)):
        if size_bytes >= scale:
            return f"{size_bytes / scale:.3g} {unit}"
    return f"{size_bytes} B"
