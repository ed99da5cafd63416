"""ssh's command line, and what its last words mean."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

from interactive_dl.cluster.ssh._script import NO_FOLDER, NO_INTERPRETER
from interactive_dl.errors import SetupError

CONNECT_S = 5
_ASK_S = 10.0
_ANY_PORT = 9
_FAILED = 255
_SHOWN = 400
# What ssh says, in lower case, and what helps; of a changed key it says both.
_ADVICE = (
    ("identification has changed", "ssh-keygen -R {host}, if the host was set up anew"),
    ("host key verification failed", "ssh {host} once, in a terminal, and see whose key it is"),
    ("permission denied", "ssh-copy-id {host}; where the key has a passphrase: ssh-add"),
    ("could not resolve", "ssh -v {host}, and look at the name, or at ~/.ssh/config"),
)
_OTHERWISE = "ssh -v {host} true, in a terminal"


@dataclass(frozen=True)
class Problem:
    """Why a host cannot be used.

    Attributes:
        cause: what is wrong with it.
        fix: what to type.
    """

    cause: str
    fix: str

    def __str__(self) -> str:
        return f"{self.cause.rstrip('.')}. Type: {self.fix}"


def ssh_words(options: Sequence[str]) -> tuple[str, ...]:
    """ssh, so that it never asks anybody, and gives a host up that does not answer.

    Args:
        options: the request's own words.
    """
    return (
        "ssh",
        "-x",
        *("-o", "BatchMode=yes"),
        *("-o", f"ConnectTimeout={CONNECT_S}"),
        *("-o", "ServerAliveInterval=5"),
        *("-o", "ServerAliveCountMax=4"),
        *options,
    )


def explained(host: str, code: int, said: str, interpreter: str, folder: str) -> Problem:
    """Why a script did not end well on a host.

    Args:
        host: its name.
        code: ssh's exit code.
        said: what was printed to its error output.
        interpreter, folder: what the script looks for.
    """
    whole = " ".join(said.split())
    words = whole[-_SHOWN:] or "nothing"
    if code == _FAILED:
        advice = next((tip for sign, tip in _ADVICE if sign in whole.lower()), _OTHERWISE)
        return Problem(f"ssh says: {words}", advice.format(host=host))
    if code == NO_INTERPRETER:
        return Problem(
            f"it has no {interpreter}: hosts share the file system of this Python environment",
            f"ssh {host} ls -l {interpreter}",
        )
    if code == NO_FOLDER:
        return Problem(
            f"it has no {folder}, in which the engines are to run: hosts share the file system of"
            " the current folder",
            f"ssh {host} ls -ld {folder}",
        )
    look = f"ssh {host}, and look at the lines of setup=[...]"
    return Problem(f"exit code {code}: {words}", look)


def address_towards(hosts: Sequence[str], options: Sequence[str]) -> str:
    """IPv4 address of this host from which it reaches the first of the hosts that is another one.

    Raises:
        SetupError: there is no ssh.
    """
    for host in hosts:
        address = _towards(_name_of(host, options))
        if address and not address.startswith("127."):
            return address
    return "127.0.0.1"


def _name_of(host: str, options: Sequence[str]) -> str:
    """What the user's configuration says that a host's network name is."""
    try:
        shown = subprocess.run(
            [*ssh_words(options), "-G", host],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_ASK_S,
            check=False,
        )
    except FileNotFoundError as error:
        raise SetupError(
            "Hosts are reached by ssh, but there is none in PATH. Type: sudo apt-get install"
            " openssh-client"
        ) from error
    rows = (line.partition(" ") for line in shown.stdout.splitlines())
    return next((value for key, _, value in rows if key == "hostname"), host)


def _towards(name: str) -> str:
    """The address, or nothing where the name has none: another host may lie before it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((name, _ANY_PORT))  # sends nothing
        except OSError:
            return ""
        address: str = probe.getsockname()[0]
        return address
