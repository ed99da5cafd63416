"""The hosts of a virtual centre reach each other by ssh, with keys that live as long as it does."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

from deploy.virtual import SSH_VARIABLE
from deploy.virtual.hosts import Host

_PRIVILEGE_SEPARATION = Path("/run/sshd")


def server_configuration(folder: Path, host: Host) -> str:
    """The text of a host's ``sshd_config``: root's key only, on the host's own address.

    Args:
        folder: of the keys.
        host: where sshd is to run.
    """
    lines = [
        f"ListenAddress {host.address}",
        f"HostKey {folder}/host_key",
        f"PidFile {folder}/{host.name}.pid",
        f"AuthorizedKeysFile {folder}/authorized_keys",
        # The folders above belong to everybody's /tmp.
        "StrictModes no",
        "AuthenticationMethods publickey",
        "PermitRootLogin prohibit-password",
        "UsePAM no",
    ]
    return "\n".join(lines) + "\n"


def client_configuration(folder: Path) -> str:
    """The text of a ``ssh_config`` with root's key, and the hosts' own."""
    lines = [
        f"IdentityFile {folder}/key",
        "IdentitiesOnly yes",
        f"UserKnownHostsFile {folder}/known_hosts",
    ]
    return "\n".join(lines) + "\n"


def ssh_over(hosts: Sequence[Host], folder: Path) -> dict[str, str]:
    """Start sshd on each host; it ends with the host.

    Args:
        hosts: of the centre.
        folder: of the centre.

    Returns:
        The variable that tells commands of this centre how to log in.
    """
    keys = folder / "ssh"
    keys.mkdir(mode=0o700)
    for name in ("key", "host_key"):
        words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(keys / name)]
        subprocess.run(words, check=True)
    (keys / "authorized_keys").write_text((keys / "key.pub").read_text())
    known = (keys / "host_key.pub").read_text()
    names = ",".join(name for host in hosts for name in (host.name, host.address))
    (keys / "known_hosts").write_text(f"{names} {known}")
    (keys / "config").write_text(client_configuration(keys))
    _PRIVILEGE_SEPARATION.mkdir(mode=0o755, exist_ok=True)
    for host in hosts:
        settings = keys / f"sshd-{host.name}"
        settings.write_text(server_configuration(keys, host))
        host.start_daemon(["/usr/sbin/sshd", "-f", str(settings)], {})
    return {SSH_VARIABLE: str(keys / "config")}
