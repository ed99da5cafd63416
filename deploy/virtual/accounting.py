"""Who may use a virtual centre, and how much: slurmdbd over a MariaDB of its own."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from deploy.virtual.hosts import Host

_UP_S = 60.0
_LOOK_S = 0.02
# A data base of some kilobytes that nobody will miss.
_SMALL_AND_FAST = (
    "--no-defaults",
    "--user=root",
    "--skip-name-resolve",
    "--innodb-log-file-size=4M",
    "--innodb-flush-method=nosync",
    "--innodb-flush-log-at-trx-commit=0",
    "--aria-log-file-size=8M",
)


def configuration(folder: Path, host: Host) -> str:
    """The text of ``slurmdbd.conf``, which Slurm wants beside ``slurm.conf``.

    Args:
        folder: for the process's number and the log; munge's socket is in it.
        host: where slurmdbd is to run.
    """
    lines = [
        f"DbdHost={host.name}",
        f"DbdAddr={host.address}",
        "SlurmUser=root",
        "AuthType=auth/munge",
        f"AuthInfo=socket={folder}/munge/socket",
        f"PidFile={folder}/slurmdbd.pid",
        f"LogFile={folder}/slurmdbd.log",
        "StorageType=accounting_storage/mysql",
        "StorageHost=localhost",
        "StorageUser=root",
    ]
    return "\n".join(lines) + "\n"


def begin_database(folder: Path) -> subprocess.Popen[bytes]:
    """Begin to make MariaDB's files; they are there when the process has ended."""
    data = folder / "database"
    data.mkdir(mode=0o700)
    with (folder / "database.log").open("wb") as log:
        return subprocess.Popen(
            ["mariadb-install-db", *_SMALL_AND_FAST, f"--datadir={data}", "--skip-test-db"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )


def start_accounting(
    host: Host, folder: Path, variables: Mapping[str, str], begun: subprocess.Popen[bytes]
) -> None:
    """Start MariaDB, for root alone, and slurmdbd; returns when slurmdbd answers.

    Args:
        host: where they run, until it ends.
        folder: of the centre.
        variables: what Slurm's commands need.
        begun: what ``begin_database`` returned.

    Raises:
        TimeoutError: one does not come up; with what its log says.
    """
    socket = folder / "database" / "socket"
    _await(lambda: begun.poll() is not None, "MariaDB's files", folder / "database.log")
    words = ["mariadbd", *_SMALL_AND_FAST, f"--datadir={folder}/database"]
    with (folder / "database.log").open("ab") as log:
        subprocess.Popen(
            host.command([*words, "--skip-networking", f"--socket={socket}"]),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    _await(socket.exists, "MariaDB", folder / "database.log")
    settings = folder / "slurmdbd.conf"
    settings.touch(mode=0o600)
    settings.write_text(configuration(folder, host))
    host.start_daemon(["slurmdbd"], {**variables, "MYSQL_UNIX_PORT": str(socket)})
    asking = ["sacctmgr", "--noheader", "show", "cluster"]
    _await(lambda: host.succeeds(asking, variables), "slurmdbd", folder / "slurmdbd.log")


def _await(condition: Callable[[], bool], what: str, log: Path) -> None:
    deadline_s = time.monotonic() + _UP_S
    while not condition():
        if time.monotonic() > deadline_s:
            raise TimeoutError(
                f"{what} must be there within {_UP_S:g} s, but its log says:\n"
                + log.read_text(errors="replace")[-1000:]
            )
        time.sleep(_LOOK_S)
