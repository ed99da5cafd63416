"""Where a cluster keeps its files on this machine, so that nothing is left when it stops."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path

from interactive_dl.errors import ClusterError

ENGINES_LOG = "mpiexec.log"
"""In a cluster's folder."""

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


@dataclass(frozen=True)
class Places:
    """All files of the cluster ``cluster_id``; the profile is the one that plain ipyparallel uses.

    Raises:
        ClusterError: the id cannot name a folder.
    """

    cluster_id: str
    ipython_folder: Path

    def __post_init__(self) -> None:
        if not _ID.fullmatch(self.cluster_id):
            raise ClusterError(
                "A cluster id has up to 64 letters, digits, '.', '_' and '-', and starts with a"
                f" letter or digit, but got {self.cluster_id!r}."
            )

    @property
    def folder(self) -> Path:
        """Description, logs, births and exits. Its path also marks the cluster's processes."""
        return clusters_folder(self.ipython_folder) / self.cluster_id

    @property
    def description(self) -> Path:
        """What another process needs to know to attach."""
        return self.folder / "cluster.json"

    @property
    def engines_log(self) -> Path:
        """What is printed by the program that starts the engines."""
        return self.folder / ENGINES_LOG

    @property
    def profile(self) -> Path:
        """ipyparallel's profile folder."""
        return self.ipython_folder / "profile_default"

    @property
    def client_connection(self) -> Path:
        """ipyparallel's connection file for clients."""
        return self.profile / "security" / f"ipcontroller-{self.cluster_id}-client.json"

    @property
    def volatile(self) -> Path:
        """MPI's shared memory and session files; in memory where the machine can."""
        shm = Path("/dev/shm")
        base = shm if os.access(shm, os.W_OK) else Path(tempfile.gettempdir())
        name = hashlib.sha256(str(self.folder).encode()).hexdigest()[:12]
        return base / f"interactive_dl-{os.getuid()}-{name}"

    def create(self) -> None:
        """Make empty folders, readable by this user only.

        Raises:
            ClusterError: somebody else has made one of them.
        """
        self.remove()
        clusters_folder(self.ipython_folder).mkdir(mode=0o700, parents=True, exist_ok=True)
        self.folder.mkdir(mode=0o700)
        make_own(self.volatile)

    def remove(self) -> None:
        """Remove every file of the cluster, ipyparallel's included."""
        for folder in (self.folder, self.volatile):
            shutil.rmtree(folder, ignore_errors=True)
        for name in (
            f"security/cluster-{self.cluster_id}.json",
            f"security/ipcontroller-{self.cluster_id}-client.json",
            f"security/ipcontroller-{self.cluster_id}-engine.json",
            f"log/engines{self.cluster_id}.json",
            f"log/engines{self.cluster_id}.json.partial",
        ):
            (self.profile / name).unlink(missing_ok=True)


def make_own(folder: Path) -> None:
    """Make a folder that nobody else reads, where anybody may make one of the same name before.

    Raises:
        ClusterError: somebody has.
    """
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise ClusterError(
            f"What ranks exchange lies in a folder of this user's, but {folder} was made by user"
            f" {found.st_uid}, or is none. Have it removed, or type: idl.Cluster(...) without"
            " cluster_id, for another name"
        )


def ipython_folder() -> Path:
    """IPython's folder (``$IPYTHONDIR`` or ``~/.ipython``)."""
    from IPython.paths import get_ipython_dir

    return Path(get_ipython_dir())


def clusters_folder(ipython: Path) -> Path:
    """The folder with one folder for each cluster of this user."""
    return ipython / "interactive_dl"


def known_ids(ipython: Path) -> tuple[str, ...]:
    """Ids of the clusters that have a description on this machine."""
    described = clusters_folder(ipython).glob("*/cluster.json")
    return tuple(sorted(path.parent.name for path in described))
