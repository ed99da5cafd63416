"""What sshd and ssh of a virtual centre are told."""

from __future__ import annotations

from pathlib import Path

from deploy.virtual.hosts import Host
from deploy.virtual.ssh import client_configuration, server_configuration


def test_a_host_listens_on_its_own_address_and_takes_one_key_only() -> None:
    told = server_configuration(Path("/c/ssh"), Host("n1", "10.77.0.2", 7)).splitlines()
    assert [line for line in told if line.startswith("Listen")] == ["ListenAddress 10.77.0.2"]
    assert {
        "AuthenticationMethods publickey",
        "AuthorizedKeysFile /c/ssh/authorized_keys",
        "HostKey /c/ssh/host_key",
    } <= set(told)


def test_nobody_elses_keys_are_offered_and_strangers_are_not_believed() -> None:
    told = client_configuration(Path("/c/ssh")).splitlines()
    assert told == [
        "IdentityFile /c/ssh/key",
        "IdentitiesOnly yes",
        "UserKnownHostsFile /c/ssh/known_hosts",
    ]
