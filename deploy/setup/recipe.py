"""Which Horovod wheel an environment needs, and how it is built."""

from __future__ import annotations

import hashlib
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from deploy.setup.options import MPIS

HOROVOD = "0.28.1"
FOLDER = Path(__file__).resolve().parents[1] / "horovod"
_GB_PER_COMPILER = 2
_MAKE_VARIABLES = ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES")
_OWN_VARIABLES = ("HOROVOD_W", "HOROVOD_LOCAL_VERSION")


@dataclass(frozen=True)
class Recipe:
    """All that a Horovod wheel depends on.

    Attributes:
        python: ``3.11``.
        tensorflow: version it is built against.
        torch: version it is built against, if any.
        mpi: ``openmpi5.0.11``, or another of ``MPIS``.
        machine: ``x86_64``.
        libc: ``glibc2.36``: a home folder may be shared by unlike machines.
        gpu: whether NCCL reduces.
        arch_flags: the user's ``HOROVOD_BUILD_ARCH_FLAGS``.
        files: hash of the CMake files and patches.
    """

    python: str
    tensorflow: str
    torch: str | None
    mpi: str
    machine: str
    libc: str
    gpu: bool
    arch_flags: str
    files: str

    @property
    def key(self) -> str:
        """The name of the wheel's folder in the cache."""
        readable = (
            f"horovod{HOROVOD}",
            f"python{self.python}",
            f"tensorflow{self.tensorflow}",
            # Horovod's CMake reads its own path as a regular expression: no + as in 2.13.0+cpu.
            f"torch{self.torch}".replace("+", ".") if self.torch else "no-torch",
            self.mpi,
            self.machine,
            "nccl" if self.gpu else "cpu",
        )
        rest = repr((self.libc, self.arch_flags, self.files)).encode()
        return "-".join((*readable, hashlib.sha256(rest).hexdigest()[:10]))


def patches(folder: Path = FOLDER) -> tuple[Path, ...]:
    """Changes of Horovod's source, in the order in which they are applied."""
    return tuple(sorted(folder.glob("*.patch")))


def recipe_files(folder: Path = FOLDER) -> tuple[Path, ...]:
    """All files that a wheel is made with besides Horovod's source."""
    return (*sorted(folder.glob("*.cmake")), *patches(folder))


def recipe_for(
    versions: Mapping[str, str], *, gpu: bool, environment: Mapping[str, str], folder: Path = FOLDER
) -> Recipe:
    """The recipe for this machine and the packages of an environment.

    Args:
        versions: version by normalised name of each installed package.
        gpu: whether NCCL reduces.
        environment: the user's variables.
        folder: where the CMake files and patches are.
    """
    files = hashlib.sha256()
    for file in recipe_files(folder):
        files.update(file.name.encode() + b"\0" + file.read_bytes())
    return Recipe(
        python="{}.{}".format(*platform.python_version_tuple()),
        tensorflow=versions["tensorflow" if gpu else "tensorflow-cpu"],
        torch=versions.get("torch"),
        mpi=next(f"{mpi}{versions[mpi]}" for mpi in MPIS if mpi in versions),
        machine=platform.machine(),
        libc="".join(platform.libc_ver()),
        gpu=gpu,
        arch_flags=environment.get("HOROVOD_BUILD_ARCH_FLAGS", ""),
        files=files.hexdigest(),
    )


def build_environment(
    recipe: Recipe, user: Mapping[str, str], *, bin_folder: Path, jobs: int, folder: Path = FOLDER
) -> dict[str, str]:
    """Variables that the wheel is built under.

    Args:
        recipe: what to build.
        user: the user's variables.
        bin_folder: the environment's ``bin``, for its ``python`` and ``mpicxx``.
        jobs: compilers at once.
        folder: where the CMake files are.
    """
    kept = {
        name: value
        for name, value in user.items()
        # ``make setup`` would hand its own job server to Horovod's make.
        if name not in _MAKE_VARIABLES and not name.startswith(_OWN_VARIABLES)
    }
    gpu = {"HOROVOD_GPU_OPERATIONS": "NCCL"} if recipe.gpu else {}
    return {
        **kept,
        **gpu,
        "PATH": os.pathsep.join([str(bin_folder), user.get("PATH", os.defpath)]),
        "CMAKE_TOOLCHAIN_FILE": str(folder / "horovod-toolchain.cmake"),
        # Horovod's gloo asks for a CMake that CMake 4 no longer plays.
        "CMAKE_POLICY_VERSION_MINIMUM": "3.5",
        "HOROVOD_WITH_MPI": "1",
        "HOROVOD_WITH_GLOO": "1",
        "HOROVOD_WITH_TENSORFLOW": "1",
        "HOROVOD_WITH_PYTORCH" if recipe.torch else "HOROVOD_WITHOUT_PYTORCH": "1",
        "HOROVOD_WITHOUT_MXNET": "1",
        "HOROVOD_CPU_OPERATIONS": "MPI",
        "MAKEFLAGS": f"-j{jobs}",
        "OMPI_ALLOW_RUN_AS_ROOT": "1",
        "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    }


def compilers_at_once(cores: int, memory_bytes: int) -> int:
    """As many as there are cores, and as memory holds: a file takes up to 2 GB."""
    return max(1, min(cores, memory_bytes // (_GB_PER_COMPILER * 10**9)))
