"""What a virtual centre needs of the machine."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

_PROGRAMS = (
    *("slurmctld", "slurmdbd", "slurmd", "sbatch", "munged"),
    *("mariadbd", "my_print_defaults", "ip", "nsenter", "unshare"),
    *("ssh", "ssh-keygen", "/usr/sbin/sshd"),
)
_INSTALL = (
    "apt-get install -y --no-install-recommends slurmctld slurmdbd slurmd slurm-client munge"
    " libpmix2 mariadb-server-core mariadb-client-core iproute2 util-linux openssh-client"
    " openssh-server"
)
_LIBRARIES = Path("/usr/lib")
# Where it ends so, apt starts no daemon of what it installs: sshd would listen to everybody.
_POLICY = Path("/usr/sbin/policy-rc.d")
_NOTHING_STARTS = "#!/bin/sh\nexit 101\n"


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
        with _no_new_daemons():
            subprocess.run([*_INSTALL.split(), "-qq"], check=True, env=quiet)
    name_as_slurm_does(_pmix())


@contextlib.contextmanager
def _no_new_daemons() -> Iterator[None]:
    """Keep apt from starting what it installs, where the machine has no policy of its own."""
    if _POLICY.exists():
        yield
        return
    _POLICY.write_text(_NOTHING_STARTS)
    _POLICY.chmod(0o755)
    try:
        yield
    finally:
        _POLICY.unlink()


def name_as_slurm_does(libraries: Sequence[Path]) -> None:
    """Give libraries, such as ``libpmix.so.2``, a name without a version as well.

    Slurm's plug-in for PMIx opens it by that name, which only its development package has.
    """
    for library in libraries:
        with contextlib.suppress(FileExistsError):
            library.with_suffix("").symlink_to(library.name)


def _pmix() -> Sequence[Path]:
    return tuple(_LIBRARIES.glob("*/pmix2/lib/libpmix.so.2"))
