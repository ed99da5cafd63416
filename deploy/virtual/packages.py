"""What a virtual centre needs of the machine."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

_PROGRAMS = (
    *("slurmctld", "slurmdbd", "slurmd", "sbatch", "munged"),
    *("mariadbd", "my_print_defaults", "ip", "nsenter", "unshare"),
)
_INSTALL = (
    "apt-get install -y --no-install-recommends slurmctld slurmdbd slurmd slurm-client munge"
    " libpmix2 mariadb-server-core mariadb-client-core iproute2 util-linux"
)
_LIBRARIES = Path("/usr/lib")


def install_missing() -> None:
    """Install Slurm and what else is missing.

    Raises:
        PermissionError: this is not root, who alone can make networks.
    """
    if os.geteuid() != 0:
        raise PermissionError(
            "Virtual hosts have networks of their own, which only root can make. Type: sudo"
            f" {_INSTALL}; sudo .venv/bin/python -m deploy.virtual"
        )
    if not all(shutil.which(program) for program in _PROGRAMS) or not _pmix():
        quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        subprocess.run(["apt-get", "update", "-qq"], check=True)
        subprocess.run([*_INSTALL.split(), "-qq"], check=True, env=quiet)
    name_as_slurm_does(_pmix())


def name_as_slurm_does(libraries: Sequence[Path]) -> None:
    """Give libraries, such as ``libpmix.so.2``, a name without a version as well.

    Slurm's plug-in for PMIx opens it by that name, which only its development package has.
    """
    for library in libraries:
        with contextlib.suppress(FileExistsError):
            library.with_suffix("").symlink_to(library.name)


def _pmix() -> Sequence[Path]:
    return tuple(_LIBRARIES.glob("*/pmix2/lib/libpmix.so.2"))
