"""Where a cluster's engines run: what each kind of allocation does for it."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from interactive_dl.cluster._description import Description, Options
from interactive_dl.cluster._places import Places
from interactive_dl.cluster._values import State
from interactive_dl.errors import RequestError

if TYPE_CHECKING:
    import ipyparallel

    from interactive_dl.cluster._doctor import Report

_KINDS = {
    "local": "interactive_dl.cluster._local:LocalAllocation",
    "slurm": "interactive_dl.cluster.slurm._allocation:SlurmAllocation",
    "ssh": "interactive_dl.cluster.ssh._allocation:SSHAllocation",
}
SURVIVED = (
    "The other engines live on. Type: cluster.heal() to replace the dead, or cluster.restart()."
)


class Allocation(Protocol):
    """Room for engines, asked for when a cluster starts and given back when it stops.

    Attributes:
        outcome: why the latest attempt to start came to nothing; None where there is no more to
            say than the error did.
        after_death: what becomes of the other engines when one dies, and what to type.
    """

    outcome: State | None
    after_death: str

    def __init__(self, places: Places, options: Options) -> None: ...

    @classmethod
    def complete(
        cls, engines: int | None, request: Mapping[str, Any]
    ) -> tuple[int, dict[str, Any]]:
        """Number of engines, and the request with all defaults, from what a caller gave.

        Raises:
            RequestError: unknown options, or values that make no sense.
        """
        ...

    @property
    def address(self) -> str:
        """IPv4 address of this host that controller and recorder listen on."""
        ...

    def job_script(self) -> str:
        """What would be handed to a scheduler."""
        ...

    async def examine(self) -> Report:
        """Look, before any engine is started, at the machines that they would be on."""
        ...

    def check(self) -> None:
        """Refuse what cannot work, before anything is started."""
        ...

    async def start_engines(
        self, launched: ipyparallel.Cluster | None, described: Description
    ) -> Description:
        """Ask for room and engines, behind a controller that is up.

        Args:
            launched: the controller, where this process has started it.
            described: the cluster.

        Returns:
            The description, with what was started.
        """
        ...

    async def await_granted(self) -> None:
        """Wait until there is room, and the engines start.

        Raises:
            AllocationError: there will not be.
        """
        ...

    def follow(self) -> None:
        """Notice from now on what becomes of it; also in a process that did not start it."""
        ...

    def look_now(self) -> None:
        """Something has happened to engines: look why."""
        ...

    def let_go(self) -> None:
        """Notice no longer."""
        ...

    def is_over(self) -> bool:
        """Whether engines that have not registered yet never will."""
        ...

    def starting_state(self, registered: int) -> State:
        """The state of a cluster that starts, of whose engines some have registered."""
        ...

    def state(self, engines: State) -> State:
        """The state of a cluster, where all that its engines tell is ``engines``."""
        ...

    def can_leave(self) -> bool:
        """Whether what runs on its engines can still write a checkpoint."""
        ...

    def world(self) -> tuple[int, ...]:
        """Ids of the engines that are there or about to come, by rank; empty before it is known."""
        ...

    def renewed(self, changes: Mapping[str, Any]) -> Options:
        """How a follow-on of this allocation is to be started.

        Raises:
            RequestError: unknown options, there is nothing to renew, or a follow-on is waited for.
        """
        ...

    async def end(self) -> None:
        """Give the room back, whatever runs there."""
        ...


def kind(where: str) -> type[Allocation]:
    """A kind of allocation by its name.

    Raises:
        RequestError: there is none of this name.
    """
    if where not in _KINDS:
        raise RequestError(
            f"Engines run in one of the places {', '.join(_KINDS)}, but got {where!r}. Type:"
            " idl.Cluster(4) for four engines on this machine."
        )
    module, name = _KINDS[where].split(":")
    found: type[Allocation] = getattr(importlib.import_module(module), name)
    return found
