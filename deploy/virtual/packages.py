"""What a virtual centre needs of the machine."""

from __future__ import annotations

import os
import shutil
import subprocess

_PROGRAMS = (
    *("slurmctld", "slurmdbd", "slurmd", "sbatch", "munged"),
    *("mariadbd", "my_print_defaults", "ip", "nsenter", "unshare"),
)
_INSTALL = (
    "apt-get install -y --no-install-recommends slurmctld slurmdbd slurmd slurm-client munge"
    " mariadb-server-core mariadb-client-core iproute2 util-linux"
)


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
    if all(shutil.which(program) for program in _PROGRAMS):
        return
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run(["apt-get", "update", "-qq"], check=True)
    subprocess.run([*_INSTALL.split(), "-qq"], check=True, env=quiet)
