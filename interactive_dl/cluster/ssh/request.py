"""What is asked of hosts: which, engines on each, and how they are reached."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import msgspec

from interactive_dl.cluster._requests import converted
from interactive_dl.errors import RequestError

_AtLeastOne = Annotated[int, msgspec.Meta(ge=1)]
_Host = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*(:[1-9][0-9]*)?$")]
_Line = Annotated[str, msgspec.Meta(pattern=r"^[^\n]+$")]
# Open MPI splits the words of its agent at spaces, and takes a colon for the next agent.
_Option = Annotated[str, msgspec.Meta(pattern=r"^[^\s:'\"\\]+$")]
_Word = Annotated[str, msgspec.Meta(pattern=r"^[^\s'\"\\]+$")]
_SLOTS = re.compile(r"(\S+)\s+(?:slots|max[-_]slots)\s*=\s*(\d+).*")


@dataclass(frozen=True, kw_only=True)
class Request:
    """A request for engines on hosts.

    Attributes:
        hosts: their names, as ssh knows them, each with the number of its engines where that is
            another one: ``("n1", "n2:4")``.
        engines_per_host: engines on each that does not say.
        restart: whether a world that has ended is started again, on the hosts that are left.
        setup: lines of shell that run on each host before the engines: ``module load cuda``.
        interface: network interface of this host for controller, recorder and MPI, such as
            ``ib0``; by default the one that leads to the hosts, and for MPI any.
        ssh_options: further words for ssh, such as ``("-i", "~/.ssh/cluster")``; none may ask.
    """

    hosts: tuple[_Host, ...] = ()
    engines_per_host: _AtLeastOne = 1
    restart: bool = True
    setup: tuple[_Line, ...] = ()
    interface: _Word | None = None
    ssh_options: tuple[_Option, ...] = ()

    @property
    def slots(self) -> dict[str, int]:
        """How many engines each host is to have, by its name."""
        split = (host.partition(":") for host in self.hosts)
        return {name: int(count or self.engines_per_host) for name, _, count in split}

    @property
    def engines(self) -> int:
        """All engines."""
        return sum(self.slots.values())


def request_of(given: Mapping[str, Any]) -> Request:
    """Check what was given and make a request of it; a text for hosts is the path of a hostfile.

    Raises:
        RequestError: an option is unknown, a value makes no sense, or there is no such file.
    """
    request = options_of(given)
    if not request.hosts:
        raise RequestError(
            "Engines run on hosts that ssh reaches, but got none. Type:"
            " idl.Cluster('ssh', hosts=['n1', 'n2:4']), or hosts='hostfile'"
        )
    names = [host.partition(":")[0] for host in request.hosts]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise RequestError(
            f"A host is named once, with the number of its engines, but got {', '.join(twice)}"
            f" more than once. Type: idl.Cluster('ssh', hosts=['{twice[0]}:2', ...])"
        )
    return replace(request, hosts=tuple(f"{name}:{count}" for name, count in request.slots.items()))


def options_of(given: Mapping[str, Any]) -> Request:
    """The same of what a profile says, which may name no hosts."""
    hosts = given.get("hosts", ())
    if isinstance(hosts, str | Path):
        given = {**given, "hosts": read_hostfile(Path(hosts).expanduser())}
    return converted(given, Request, "Hosts are asked", "Type: help(idl.Cluster)")


def read_hostfile(path: Path) -> tuple[str, ...]:
    """Hosts of a file in the format of mpiexec: a line each, ``n1``, ``n1:2`` or ``n1 slots=2``.

    Raises:
        RequestError: it cannot be read.
    """
    try:
        return parse_hostfile(path.read_text().splitlines())
    except OSError as error:
        raise RequestError(
            f"Hosts are named in a list or in a file, but {path} cannot be read: {error.strerror}."
            " Type: idl.Cluster('ssh', hosts=['n1', 'n2'])"
        ) from error


def parse_hostfile(lines: Iterable[str]) -> tuple[str, ...]:
    """Hosts of a hostfile's lines; comments and empty lines are none."""
    said = (line.partition("#")[0].strip() for line in lines)
    return tuple(_SLOTS.sub(r"\1:\2", line) for line in said if line)
