"""Engines join a training that runs: what the members of its group do.

1. After an agreed step the members start the new engines, and tell them what is trained
   (``_inviting``).
2. The new engines run the cells that the members have run, up to the same call of ``fit``; the
   members train on meanwhile. Each new engine tells all members that it is ready, or why not.
3. The members leave ``fit`` after an agreed step. All form the new group, take rank 0's state
   (``_admission``), and call ``fit`` again from there.
"""

from __future__ import annotations

import os
import time
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from interactive_dl.engine import _program, world
from interactive_dl.engine._inviting import CannotGrowError, Invitation, invite
from interactive_dl.engine.group import Group
from interactive_dl.errors import GroupError
from interactive_dl.telemetry import exits

_LOOK_EVERY_S = 0.05
_POLL_S = 0.01
# After that its process is taken for one that has ended without a word.
_BIRTH_S = 60.0


class AgreedGrowth(Exception):
    """All ranks left ``fit`` after the same step, to take engines in.

    Attributes:
        joiners: their ids.
    """

    def __init__(self, joiners: tuple[int, ...]) -> None:
        super().__init__(f"Engines {list(joiners)} join the training.")
        self.joiners = joiners


class Admission(NamedTuple):
    """Rank 0's word to a new engine: form the group of these engines, or why not; then none."""

    group: tuple[int, ...] = ()
    reason: str = ""


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
    _began_s: float = field(default_factory=time.monotonic)
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
        mail = world.current().mail()
        for engine in self._undecided():
            for ready in mail.hear(engine):
                self.problems[engine] = ready.problem
        for engine in mail.dead(self._undecided()):
            self.problems[engine] = "it died; cluster.deaths has the reason"
        if self._looked_s - self._began_s > _BIRTH_S:
            late = f"it was not there within {_BIRTH_S:g} s; its log says more"
            unborn = [one for one in self._undecided() if not exits.is_born(_folder(), one)]
            self.problems.update(dict.fromkeys(unborn, late))
        return self.is_decided

    def _undecided(self) -> list[int]:
        return [one for one in self.joiners if one not in self.problems]

    def agree(self, problems: dict[int, str]) -> None:
        """Take rank 0's word of what has come of the new engines."""
        self.problems, self.is_agreed = problems, True

    def dismiss(self, reason: str, joined: Collection[int] = ()) -> None:
        """Let new engines know that they are not needed any more; rank 0 calls it."""
        mail = world.current().mail()
        for engine in set(self.joiners) - set(joined):
            mail.say(engine, Admission(reason=reason))

    def admit(self, members: Group) -> tuple[int, ...]:
        """Have those that are ready form a group with the members; all ranks call it.

        Returns:
            Ids of the group to form.
        """
        mail, wanted = world.current().mail(), (*members.engines, *self.ready)
        for engine in self.joiners:
            if members.rank == 0:
                mail.say(engine, Admission(wanted) if engine in self.ready else Admission())
            else:
                list(mail.hear(engine))  # what rank 0 has heard, too
        return wanted


def begin(group: Group, fit: int, command: str | None = None) -> Growth:
    """Start the engines that the group lacks; all ranks call it after the same step.

    Args:
        group: the members.
        fit: number of the running ``fit``.
        command: id of the command that asked for it.

    Raises:
        CannotGrowError: the group lacks none, or there is nowhere to start them.
        PeerFailedError: a member died meanwhile.
    """
    invitation, problem = group.broadcast(_plan(group, fit) if group.rank == 0 else None)
    if invitation is None:
        raise CannotGrowError(problem)
    invite(group, _folder(), invitation)
    return Growth(invitation.joiners, command)


def _plan(group: Group, fit: int) -> tuple[Invitation | None, str]:
    """Whom to start, with new ids, or why there are to be none."""
    if not os.environ.get("IDL_CLUSTER"):
        return None, "Engines can be added in a cluster (idl.Cluster), not in a plain script."
    try:
        others = sorted(set(world.everybody()) - set(group.engines))
    except GroupError as error:
        return None, f"A training takes new engines in where it knows who lives. {error}"
    if others:
        return None, (
            "A training takes new engines in where it has all that live, but engines"
            f" {others} are not in it. When it has ended: cluster.heal()."
        )
    folder = _folder()
    full = len(exits.births(folder)[0].world)
    if group.size >= full:
        return None, (
            f"A training grows to the {full} engines that the cluster was started with, and it"
            f" has {group.size}. For more: idl.Cluster(engines=...)."
        )
    joiners = exits.claim_ids(folder, full - group.size)
    return Invitation(group.engines, joiners, fit, _program.cells()), ""


def _folder() -> Path:
    return Path(os.environ["IDL_CLUSTER"])


def agreed_on(group: Group, mine: Growth | None) -> Growth | None:
    """What any rank knows to be under way; all call it after a change of the group.

    A rank that died may have told some of the others only.
    """
    known = [one for one in group.allgather(mine) if one is not None]
    if not known:
        return None
    growth = next((one for one in known if one.is_agreed), mine or known[0])
    # Other hosts have other clocks.
    return replace(growth, _began_s=time.monotonic(), _looked_s=0.0)


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
