"""Engines join a training that runs: what the members of its group do.

1. After an agreed step the members start the new engines, and tell them what is trained.
2. The new engines run the cells that the members have run, up to the same call of ``fit``; the
   members train on meanwhile. Each new engine tells all members that it is ready, or why not.
3. The members leave ``fit`` after an agreed step. All form the new group, take rank 0's state
   (``_admission``), and call ``fit`` again from there.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from interactive_dl.engine import _handshake, _horovod, _program, healing, world
from interactive_dl.engine._mpi import MpiLinks, MpiWorld
from interactive_dl.engine.group import Group
from interactive_dl.errors import PeerFailedError
from interactive_dl.telemetry import exits
from interactive_dl.telemetry.commands import without_mpi

_TAG = 29_872
_LOOK_EVERY_S = 0.05
_POLL_S = 0.01


class CannotGrowError(Exception):
    """No engine can be added, and why; nothing has changed. On every rank."""


class AgreedGrowth(Exception):
    """All ranks left ``fit`` after the same step, to take engines in.

    Attributes:
        joiners: their ids.
    """

    def __init__(self, joiners: tuple[int, ...]) -> None:
        super().__init__(f"Engines {list(joiners)} join the training.")
        self.joiners = joiners


class Invitation(NamedTuple):
    """What new engines are told.

    Attributes:
        group: ids by rank of the group to be, members first.
        fit: which distributed ``fit`` of the last cell it is, from 0.
        cells: the program.
    """

    group: tuple[int, ...]
    fit: int
    cells: tuple[str, ...]


class Ready(NamedTuple):
    """A new engine's word to the members: ``problem`` says why it cannot join; empty if it can."""

    problem: str = ""


class Admission(NamedTuple):
    """Rank 0's word to a new engine: form the group of these engines, or why not; then none."""

    group: tuple[int, ...] = ()
    reason: str = ""


def channel() -> _handshake.Channel:
    """What members and new engines talk through."""
    here = world.current()
    assert isinstance(here, MpiWorld)
    return _handshake.Channel(here.comm, here.ids, _TAG)


@dataclass
class Growth:
    """Engines that get ready to join a group.

    Attributes:
        joiners: their ids.
        command: id of the command that asked for them; None where nobody did.
        problems: by engine that is decided: why it cannot join; empty if it is ready.
        is_agreed: whether all ranks have the same ``problems``, of all new engines.
    """

    joiners: tuple[int, ...]
    command: str | None = None
    problems: dict[int, str] = field(default_factory=dict)
    is_agreed: bool = False
    _looked_s: float = 0.0

    @property
    def is_decided(self) -> bool:
        """Whether all of them are ready, or cannot be; as far as this rank has looked."""
        return set(self.joiners) <= set(self.problems)

    @property
    def ready(self) -> tuple[int, ...]:
        """Those that can join."""
        return tuple(one for one in self.joiners if self.problems.get(one) == "")

    @property
    def trouble(self) -> str:
        """Why some cannot; empty if all can."""
        told = (f"engine {one}: {why}" for one, why in sorted(self.problems.items()) if why)
        return "; ".join(told)

    def look(self) -> bool:
        """Hear the new engines, now and then, without waiting; whether all are decided."""
        if self.is_decided or time.monotonic() - self._looked_s < _LOOK_EVERY_S:
            return self.is_decided
        self._looked_s = time.monotonic()
        talk = channel()
        for engine in set(self.joiners) - set(self.problems):
            for ready in talk.hear(engine):
                self.problems[engine] = ready.problem
        for engine in talk.dead(sorted(set(self.joiners) - set(self.problems))):
            self.problems[engine] = "it died; cluster.deaths has the reason"
        return self.is_decided

    def agree(self, problems: dict[int, str]) -> None:
        """Take rank 0's word of what has come of the new engines."""
        self.problems, self.is_agreed = problems, True

    def dismiss(self, reason: str, joined: Collection[int] = ()) -> None:
        """Let new engines know that they are not needed any more; rank 0 calls it."""
        talk = channel()
        for engine in set(self.joiners) - set(joined):
            talk.say(engine, Admission(reason=reason))

    def admit(self, members: Group) -> tuple[int, ...]:
        """Have those that are ready form a group with the members; all ranks call it.

        Returns:
            Ids of the group to form.
        """
        talk, wanted = channel(), (*members.engines, *self.ready)
        for engine in self.joiners:
            if members.rank == 0:
                talk.say(engine, Admission(wanted) if engine in self.ready else Admission())
            else:
                list(talk.hear(engine))  # what rank 0 has heard, too
        return wanted


def begin(group: Group, fit: int, command: str | None = None) -> Growth:
    """Start the engines that the group lacks; all ranks call it after the same step.

    They wait for the new engines' MPI to be up, then train on.

    Args:
        group: the members.
        fit: number of the running ``fit``.
        command: id of the command that asked for it.

    Raises:
        CannotGrowError: the group lacks none, or there is nowhere to start them.
        PeerFailedError: a member died meanwhile.
    """
    folder, joiners, problem = group.broadcast(_claim(group) if group.rank == 0 else None)
    if problem:
        raise CannotGrowError(problem)
    frameworks = _horovod.shutdown()
    try:
        _invite(group, Path(folder), Invitation((*group.engines, *joiners), fit, _program.cells()))
    finally:
        for framework in frameworks:
            _horovod.start(framework, group.links)
    return Growth(joiners, command)


def _claim(group: Group) -> tuple[str, tuple[int, ...], str]:
    """Where the cluster is, ids for the new engines, or why there are to be none."""
    folder = os.environ.get("IDL_CLUSTER", "")
    if not folder:
        return "", (), "Engines can be added in a cluster (idl.Cluster), not in a plain script."
    if without_mpi():
        return (
            folder,
            (),
            (
                "A training takes new engines in where MPI connects them, but this cluster's"
                " collectives are Gloo's. When it has ended: cluster.heal()."
            ),
        )
    others = sorted(set(world.everybody()) - set(group.engines))
    if others:
        return (
            folder,
            (),
            (
                "A training takes new engines in where it has all that live, but engines"
                f" {others} are not in it. When it has ended: cluster.heal()."
            ),
        )
    full = len(exits.births(Path(folder))[0].world)
    if group.size >= full:
        return (
            folder,
            (),
            (
                f"A training grows to the {full} engines that the cluster was started with, and it"
                f" has {group.size}. For more: idl.Cluster(engines=...)."
            ),
        )
    return folder, exits.claim_ids(Path(folder), full - group.size), ""


def _invite(group: Group, folder: Path, invitation: Invitation) -> None:
    from mpi4py import MPI

    try:
        merged = healing.extend(group.comm, folder, invitation.group, is_invited=True)
    except MPI.Exception as error:
        if error.Get_error_class() in (MPI.ERR_PROC_FAILED, MPI.ERR_REVOKED):
            raise PeerFailedError("A rank died while engines were started.") from error
        raise CannotGrowError(f"MPI could not start an engine: {error}") from error
    here = MpiWorld.of(merged, invitation.group, world.current().my_id)
    world.enter(here)
    share_invitation(here, invitation)


def share_invitation(here: MpiWorld, mine: Invitation | None) -> tuple[Invitation, list[str]]:
    """Rank 0's invitation, and everybody's host by rank; members and new engines call it."""
    links = MpiLinks(here.comm)
    invitation: Invitation = links.broadcast(mine, 0)
    return invitation, links.allgather(socket.gethostname())


def await_decision(group: Group, growth: Growth, timeout_s: float) -> None:
    """Wait until the new engines are ready, or cannot be; all ranks call it.

    Raises:
        PeerFailedError: a member died meanwhile.
    """
    deadline_s = time.monotonic() + timeout_s
    while group.rank == 0 and not growth.look() and time.monotonic() < deadline_s:
        time.sleep(_POLL_S)
    if group.rank == 0 and not growth.is_decided:
        late = f"it was not ready within {timeout_s:g} s"
        for engine in set(growth.joiners) - set(growth.problems):
            growth.problems[engine] = late
    growth.agree(group.broadcast(growth.problems))
