"""An engine joins a training that runs: what the new engine does. ``_growth`` has the others' part.

It has none of what the members have in memory, but their program: it runs their cells, with a
stand-in for the group, and trains in none of their earlier ``fit``s. In the one that runs now it
says that it is ready, and forms the group with the members when they let it.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interactive_dl.engine import _inviting, _program, group, world
from interactive_dl.engine._growth import Admission
from interactive_dl.engine._inviting import Invitation, Ready
from interactive_dl.engine._links import World
from interactive_dl.errors import PeerFailedError, TrainingError

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

_POLL_S = 0.01


@dataclass
class _Guest:
    """Attributes:
    invitation: what this engine joins; None where it joins nothing, any more or at all.
    hosts: of the group to be, by rank.
    """

    invitation: Invitation | None = None
    hosts: tuple[str, ...] = ()


_GUEST = _Guest()


def receive_invitation(here: World, folder: Path) -> Invitation:
    """Hear what this engine is to join; it has just entered its world."""
    invitation, _GUEST.hosts = _inviting.hear(here, folder)
    return invitation


def accept(invitation: Invitation, shell: InteractiveShell) -> None:
    """Run the members' program, which joins them in its ``fit``."""
    _GUEST.invitation = invitation
    group.stand_in(_group_to_be(invitation))
    problem = ""
    for cell in invitation.cells:
        result = shell.run_cell(cell, store_history=False)
        error = result.error_before_exec or result.error_in_exec
        if error is not None:
            problem = f" Its last error: {type(error).__name__}: {error}"
    if is_expected():
        group.leave()
        _say(Ready(f"it ran the cells of the others, but they did not come to the fit.{problem}"))


def is_past(fit: int) -> bool:
    """Whether the members had done this distributed ``fit`` before this engine was there."""
    invitation = _GUEST.invitation
    if invitation is None:
        return False
    return len(_program.cells()) < len(invitation.cells) or fit < invitation.fit


def is_expected() -> bool:
    """Whether the members wait for this engine in the ``fit`` that begins now."""
    return _GUEST.invitation is not None


def join(model: Any, context: Any, live: Any) -> None:
    """Form the group with the members as soon as they let this engine in.

    Raises:
        TrainingError: they do not need it any more.
    """
    from interactive_dl.engine import _admission

    members = _say(Ready() if live is not None else Ready("its fit has no engine.callbacks(...)"))
    try:
        admission = _await_admission(members)
        if not admission.group:
            group.leave()
            raise TrainingError(f"This engine has not joined the training: {admission.reason}")
        live.run = _admission.enter(model, context, admission.group, live.lr_rule)
    except PeerFailedError as error:
        # It knows nothing of the training that the others could go on with: they go on without.
        print(f"A rank died while this engine joined its training: {error}", file=sys.stderr)
        sys.stderr.flush()
        os._exit(1)


def _say(ready: Ready) -> tuple[int, ...]:
    """Tell the members; whatever comes of it, this engine is invited no more.

    Returns:
        The members' ids.
    """
    assert _GUEST.invitation is not None
    mail, members = world.current().mail(), _GUEST.invitation.members
    for engine in members:
        mail.say(engine, ready)
    _GUEST.invitation = None
    return members


def _await_admission(members: Sequence[int]) -> Admission:
    """Wait for the word of whoever is rank 0."""
    mail = world.current().mail()
    while len(mail.dead(members)) < len(members):
        for engine in members:
            for admission in mail.hear(engine):
                return Admission(*admission)
        time.sleep(_POLL_S)
    raise PeerFailedError("All ranks of the training died.")


def _group_to_be(invitation: Invitation) -> group.Group:
    """As far as it is known: who belongs to it. Its collectives have this engine's part only."""
    here, host = world.current(), socket.gethostname()
    mine = here.my_id
    rank, size = invitation.group.index(mine), len(invitation.group)
    local = [other for other in range(size) if _GUEST.hosts[other] == host]
    return StandIn(
        rank=rank,
        size=size,
        local_rank=local.index(rank),
        local_size=len(local),
        host=host,
        engines=invitation.group,
        hosts=_GUEST.hosts,
        links=here.connect((mine,), "alone"),
        token="",
    )


class StandIn(group.Group):
    """A group that this engine is still to join: everybody else seems to say what it says."""

    def allgather(self, value: Any) -> list[Any]:
        """This engine's ``value``, once for each rank."""
        return [value] * self.size

    def broadcast(self, value: Any, root: int = 0) -> Any:
        """This engine's ``value``."""
        return value

    def broadcast_array(self, array: Any, root: int = 0) -> Any:
        """This engine's array."""
        return array

    def average_array(self, array: Any) -> Any:
        """This engine's array."""
        return array
