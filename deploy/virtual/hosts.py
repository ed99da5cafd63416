"""Virtual hosts: each has its own network, name, processes, ``/dev/shm`` and ``/mnt``.

Files are shared, as on a computing centre. A host lives as long as its first process does, which
the kernel ends together with the process that made it: nothing is ever left behind.
"""

from __future__ import annotations

import ctypes
import os
import shlex
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

INTERFACE = "eth0"
_NETWORK = "10.77.0"
_PR_SET_PDEATHSIG = 1
_NAMESPACES = ("--net", "--uts", "--mount", "--ipc", "--pid")
# Bash reaps what daemons leave to the first process, and hears no SIGTERM.
_FIRST_PROCESS = "while :; do sleep infinity; done"
_UP_S = 5.0
_QUIET: Any = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)


@dataclass(frozen=True)
class Host:
    """One virtual host.

    Attributes:
        name: its host name.
        address: IPv4, in the network that all hosts share.
        pid: its first process, as the machine below counts.
    """

    name: str
    address: str
    pid: int

    def command(self, words: Sequence[str]) -> list[str]:
        """The command line that runs ``words`` on this host, in the folder of this process."""
        where = ["--target", str(self.pid), *_NAMESPACES, f"--wdns={Path.cwd()}"]
        return ["nsenter", *where, "--", *words]

    def run(self, script: str) -> None:
        """Run a few lines of shell on this host; the first failure is an error."""
        subprocess.run(self.command(["sh", "-ec", script]), check=True)

    def succeeds(self, words: Sequence[str], variables: Mapping[str, str]) -> bool:
        """Whether a command, with further environment variables, ends well on this host."""
        done = subprocess.run(
            self.command(words), env={**os.environ, **variables}, check=False, **_QUIET
        )
        return done.returncode == 0

    def start_daemon(self, words: Sequence[str], variables: Mapping[str, str]) -> None:
        """Start a daemon, with further variables: its command returns when it is in the background.

        It keeps what it inherits: an output that somebody reads to its end would never end.
        """
        environment = {**os.environ, **variables}
        subprocess.run(self.command(words), env=environment, check=True, **_QUIET)


@contextmanager
def virtual_hosts(names: Sequence[str], folder: Path) -> Iterator[tuple[Host, ...]]:
    """Hosts that reach each other by name over ``eth0``.

    Args:
        names: of the hosts, in the order of their addresses from 10.77.0.1 on.
        folder: for their ``hosts`` file.
    """
    addresses = {name: f"{_NETWORK}.{number}" for number, name in enumerate(names, 1)}
    lines = ["127.0.0.1 localhost", *(f"{where} {name}" for name, where in addresses.items())]
    (folder / "hosts").write_text("\n".join(lines) + "\n")
    with ExitStack() as stack:
        switch = Host("switch", "", stack.enter_context(_first_process()))
        switch.run("ip link add bridge type bridge; ip link set bridge up")
        hosts = tuple(
            Host(name, address, stack.enter_context(_first_process()))
            for name, address in addresses.items()
        )
        for host in hosts:
            _plug(host, switch)
            _furnish(host, folder)
        yield hosts


@contextmanager
def network_handles(hosts: Sequence[Host]) -> Iterator[dict[str, int]]:
    """Open files, by name, through which a process on one host may reach another's network.

    A host sees no processes but its own; these are to be inherited. ``set_link`` takes them.
    """
    with ExitStack() as stack:
        opened = {
            host.name: stack.enter_context(open(f"/proc/{host.pid}/ns/net")).fileno()
            for host in hosts
        }
        yield opened


def set_link(network: int, state: Literal["up", "down"]) -> None:
    """Put a host onto the network or take it off, from any other host."""
    words = [f"--net=/proc/self/fd/{network}", "ip", "link", "set", INTERFACE, state]
    subprocess.run(["nsenter", *words], check=True, pass_fds=[network])


@contextmanager
def _first_process() -> Iterator[int]:
    words = ["unshare", *_NAMESPACES, "--fork", "--mount-proc", "--kill-child"]
    process = subprocess.Popen(
        [*words, "bash", "-c", _FIRST_PROCESS], stdin=subprocess.DEVNULL, preexec_fn=_die_with_us
    )
    try:
        yield _only_child(process.pid)
    finally:
        process.kill()
        process.wait()


def _die_with_us() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _only_child(pid: int) -> int:
    children = Path(f"/proc/{pid}/task/{pid}/children")
    deadline_s = time.monotonic() + _UP_S
    while not (found := children.read_text().split()) or not _is_bash(int(found[0])):
        if time.monotonic() > deadline_s:
            raise TimeoutError(f"A virtual host did not come up within {_UP_S:g} s.")
        time.sleep(0.002)
    return int(found[0])


def _is_bash(pid: int) -> bool:
    """Whether it has left ``unshare`` behind: its ``/proc`` is mounted by then."""
    return Path(f"/proc/{pid}/comm").read_text().strip() == "bash"


def _plug(host: Host, switch: Host) -> None:
    """A cable between ``eth0`` of the host and the switch."""
    port = f"to-{host.name}"
    cable = ["ip", "link", "add", INTERFACE, "netns", str(host.pid), "type", "veth"]
    subprocess.run([*cable, "peer", "name", port, "netns", str(switch.pid)], check=True)
    switch.run(f"ip link set {port} master bridge up")
    host.run(f"ip address add {host.address}/24 dev {INTERFACE}")
    host.run(f"ip link set lo up; ip link set {INTERFACE} up")


def _furnish(host: Host, folder: Path) -> None:
    host.run(
        f"hostname {host.name}; mount --bind {shlex.quote(str(folder / 'hosts'))} /etc/hosts;"
        " mount -t tmpfs tmpfs /mnt; mount -t tmpfs tmpfs /dev/shm"
    )
