"""New engines are started for a training that runs, and hear what it is.

With MPI all members start them, and make one world with each. Without, every new engine is started
by one member, on its own host: where a host is cut off, nobody is there to start any.
"""

from __future__ import annotations

import contextlib
import pickle
import socket
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from interactive_dl.engine import _horovod, healing, world
from interactive_dl.engine._links import World
from interactive_dl.engine._mpi import MpiLinks, MpiWorld
from interactive_dl.engine._post import Post
from interactive_dl.engine.group import Group
from interactive_dl.errors import PeerFailedError
from interactive_dl.telemetry.commands import without_mpi


class CannotGrowError(Exception):
    """No engine can be added, and why; nothing has changed. On every rank."""


class Invitation(NamedTuple):
    """What new engines are told.

    Attributes:
        members: ids by rank of the group as it is.
        joiners: ids of the new engines.
        fit: which distributed ``fit`` of the last cell it is, from 0.
        cells: the program.
    """

    members: tuple[int, ...]
    joiners: tuple[int, ...]
    fit: int
    cells: tuple[str, ...]

    @property
    def group(self) -> tuple[int, ...]:
        """Ids by rank of the group to be."""
        return (*self.members, *self.joiners)


class Heard(NamedTuple):
    """An invitation, and the hosts of the group to be, by rank."""

    invitation: Invitation
    hosts: tuple[str, ...]


class Ready(NamedTuple):
    """A new engine's word to the members: ``problem`` says why it cannot join; empty if it can."""

    problem: str = ""


def invite(group: Group, folder: Path, invitation: Invitation) -> None:
    """Start the new engines; all members call it, with the same invitation.

    With MPI they wait until the new engines' MPI is up. Without they do not wait: an engine that
    could not be started says so, as it would itself.

    Args:
        group: the members.
        folder: the cluster's folder.
        invitation: for the new engines.

    Raises:
        CannotGrowError: MPI could not start one.
        PeerFailedError: a member died meanwhile.
    """
    if without_mpi():
        _start_apart(group, folder, invitation)
    else:
        _start_together(group, folder, invitation)


def hear(here: World, folder: Path) -> Heard:
    """What this engine is to join; it has just entered its world."""
    if isinstance(here, MpiWorld):
        return _share(here, None)
    letter = _letter(folder, here.my_id)
    heard: Heard = pickle.loads(letter.read_bytes())
    letter.unlink()
    return heard


def starters(hosts: Sequence[str], count: int) -> tuple[int, ...]:
    """Ranks that start ``count`` engines on their hosts, each where the fewest are.

    Args:
        hosts: host names by rank.
        count: how many engines are to be started.
    """
    engines, chosen = Counter(hosts), []
    for _ in range(count):
        host = min(engines, key=engines.__getitem__)
        engines[host] += 1
        chosen.append(hosts.index(host))
    return tuple(chosen)


def _start_apart(group: Group, folder: Path, invitation: Invitation) -> None:
    ranks = starters(group.hosts, len(invitation.joiners))
    hosts = (*group.hosts, *(group.hosts[rank] for rank in ranks))
    for joiner, rank in zip(invitation.joiners, ranks, strict=True):
        if rank != group.rank:
            continue
        try:
            # In a file of this host, on which the engine reads it: nobody has to be there then.
            _letter(folder, joiner).write_bytes(pickle.dumps(Heard(invitation, hosts)))
            healing.start_alone(folder, joiner, is_invited=True)
        except OSError as error:
            _decline(folder, joiner, invitation, f"it could not be started: {error}")


def _decline(folder: Path, joiner: int, invitation: Invitation, problem: str) -> None:
    """Say in the name of an engine that it does not come."""
    post = Post(folder, joiner)
    with contextlib.suppress(OSError):  # that it is not born is seen as well, only later
        for member in invitation.members:
            post.say(member, Ready(problem))


def _letter(folder: Path, engine: int) -> Path:
    return folder / f"engine-{engine}.invitation"


def _start_together(group: Group, folder: Path, invitation: Invitation) -> None:
    from mpi4py import MPI

    frameworks = _horovod.shutdown()
    try:
        merged = healing.extend(group.comm, folder, invitation.group, is_invited=True)
    except MPI.Exception as error:
        if error.Get_error_class() in (MPI.ERR_PROC_FAILED, MPI.ERR_REVOKED):
            raise PeerFailedError("A rank died while engines were started.") from error
        raise CannotGrowError(f"MPI could not start an engine: {error}") from error
    else:
        here = MpiWorld.of(merged, invitation.group, world.current().my_id)
        world.enter(here)
        _share(here, invitation)
    finally:
        for framework in frameworks:
            _horovod.start(framework, group.links)


def _share(here: MpiWorld, mine: Invitation | None) -> Heard:
    """Rank 0's invitation; members and new engines call it."""
    links = MpiLinks(here.comm)
    invitation: Invitation = links.broadcast(mine, 0)
    return Heard(invitation, tuple(links.allgather(socket.gethostname())))
