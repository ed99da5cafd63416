"""Members of a future group meet before they make it, with a time-out.

The lowest id leads. Messages are point to point, never collective, on the world or, where the
members have no world in common, through files (``_post``):

    member  -> leader   hello      I am here, for this group
    leader  -> member   heard      I shall decide within so many seconds
    leader  -> member   go, abort  all are here (the group's tag), or why it cannot be
    member  -> leader   withdraw   I no longer wait

Every message carries the nonce of the member's attempt, so that what is left over from an attempt
that failed is told apart and dropped.
"""

from __future__ import annotations

import itertools
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from interactive_dl.engine._links import Talk
from interactive_dl.errors import GroupError

if TYPE_CHECKING:
    from mpi4py import MPI

Kind = Literal["hello", "heard", "go", "abort", "withdraw"]

_TAG = 29_871
_GRACE_S = 2.0
_STALE_S = 1.0
_LONGEST_NAP_S = 0.002
_NONCES = itertools.count()
# A send that is still under way needs its buffer: dropping the request would free it.
_SENDING: list[MPI.Request] = []


class OutdatedError(GroupError):
    """The member's list of engines is not the others', or names the dead."""


class Message(NamedTuple):
    """One step; ``payload`` is the group and a word, a time, what was agreed, or an error."""

    kind: Kind
    nonce: int
    payload: Any = None


def failed_ranks(comm: MPI.Intracomm) -> frozenset[int]:
    """Ranks of ``comm`` that MPI knows to be dead; ``comm`` may be revoked."""
    from mpi4py import MPI

    # MPI learns of a death while it is asked for messages, whichever, and at no other time.
    MPI.COMM_SELF.Iprobe(0, _TAG)
    failed = comm.Get_failed()
    everyone = comm.Get_group()
    ranks = failed.Translate_ranks(range(failed.size), everyone) if failed.size else []
    failed.Free()
    everyone.Free()
    return frozenset(int(rank) for rank in ranks)


class Agreement(NamedTuple):
    """What a meeting ends with, the same on all members.

    Attributes:
        tag: new for every meeting.
        words: what each member said of itself, by id.
    """

    tag: str
    words: dict[int, Any]


def world_channel(comm: MPI.Intracomm, ids: Sequence[int]) -> Channel:
    """What engines of one world meet through; ``ids`` are its engines by rank of ``comm``."""
    return Channel(comm, tuple(ids), _TAG)


def meet(channel: Talk, members: tuple[int, ...], *, word: Any, timeout_s: float) -> Agreement:
    """Wait until all members are here.

    Args:
        channel: reaches all members.
        members: ids of the group, ascending, at least two, this engine's among them.
        word: anything picklable that the others shall know.
        timeout_s: how long to wait for the others.

    Returns:
        The meeting's tag and everybody's words.

    Raises:
        GroupError: somebody is missing, dead, or calls for another group.
    """
    if channel.me == members[0]:
        deadline_s = time.monotonic() + timeout_s
        return _Leader(channel, members, deadline_s, timeout_s, {channel.me: word}).lead()
    return _follow(channel, members, word, timeout_s)


@contextmanager
def _unless_dead() -> Iterator[None]:
    """Leave the body where its engine turns out to be dead."""
    from mpi4py import MPI

    try:
        yield
    except MPI.Exception as error:
        if error.Get_error_class() != MPI.ERR_PROC_FAILED:
            raise


def _is_over(request: MPI.Request) -> bool:
    """Whether a send is done with; one to an engine that died meanwhile is, with an error."""
    with _unless_dead():
        return bool(request.Test())
    return True


@dataclass(frozen=True)
class Channel:
    """Small messages between engines of one world, by id, that nobody waits for.

    Attributes:
        comm: that reaches them all.
        ids: engine ids by rank of ``comm``.
        tag: tells these messages from others.
    """

    comm: MPI.Intracomm
    ids: tuple[int, ...]
    tag: int

    @property
    def me(self) -> int:
        """This engine's id."""
        return self.ids[self.comm.rank]

    def say(self, engine: int, message: Any) -> None:
        """Send without waiting; what a dead engine would have heard is dropped."""
        _SENDING[:] = [request for request in _SENDING if not _is_over(request)]
        with _unless_dead():
            _SENDING.append(self.comm.isend(message, self.ids.index(engine), self.tag))

    def hear(self, engine: int) -> Iterator[Any]:
        """All messages of ``engine`` that have arrived."""
        with _unless_dead():
            while (arrived := self.comm.improbe(self.ids.index(engine), self.tag)) is not None:
                yield arrived.recv()

    def dead(self, engines: Sequence[int]) -> list[int]:
        """Those of ``engines`` that MPI knows to be dead."""
        failed = failed_ranks(self.comm)
        return [engine for engine in engines if self.ids.index(engine) in failed]


@dataclass(frozen=True)
class _Caller:
    """A member's latest attempt: which group it wants, and when the leader heard of it."""

    nonce: int
    wanted: tuple[int, ...]
    heard_s: float


@dataclass
class _Leader:
    channel: Talk
    members: tuple[int, ...]
    deadline_s: float
    timeout_s: float
    words: dict[int, Any]
    present: dict[int, _Caller] = field(default_factory=dict)

    def lead(self) -> Agreement:
        try:
            _poll(self._all_here)
            agreement = Agreement(f"idl-{uuid.uuid4().hex}", self.words)
            self._tell_all("go", agreement)
        except BaseException as error:
            known = isinstance(error, GroupError)
            self._tell_all("abort", error if known else GroupError(self._interrupted(error)))
            raise
        return agreement

    @property
    def others(self) -> tuple[int, ...]:
        return self.members[1:]

    def _all_here(self) -> bool:
        for engine in self.others:
            for message in self.channel.hear(engine):
                self._take(engine, message)
        if dead := self.channel.dead(self.members):
            raise OutdatedError(_dead_text(dead, self.members))
        self._refuse_callers_for_other_groups()
        if time.monotonic() > self.deadline_s:
            missing = [engine for engine in self.others if engine not in self.present]
            raise GroupError(_missing_text(missing, self.members, self.timeout_s))
        wanted = [self.present[engine].wanted for engine in self.others if engine in self.present]
        return wanted == [self.members] * len(self.others)

    def _take(self, engine: int, message: Message) -> None:
        caller = self.present.get(engine)
        if message.kind == "withdraw" and caller is not None and caller.nonce == message.nonce:
            del self.present[engine]
        if message.kind != "hello":
            return
        wanted, self.words[engine] = message.payload
        self.present[engine] = _Caller(message.nonce, tuple(wanted), time.monotonic())
        left_s = max(0.0, self.deadline_s - time.monotonic())
        self.channel.say(engine, Message("heard", message.nonce, left_s))

    def _refuse_callers_for_other_groups(self) -> None:
        """Not at once: what an attempt that failed left behind is withdrawn a moment later."""
        for engine, caller in self.present.items():
            if caller.wanted != self.members and time.monotonic() - caller.heard_s > _STALE_S:
                raise OutdatedError(
                    f"All members of a group must ask for the same engines, but engine"
                    f" {self.channel.me} asks for {list(self.members)} and engine {engine} for"
                    f" {list(caller.wanted)}. Run one cell on all of them, or pass the same"
                    " engines."
                )

    def _tell_all(self, kind: Kind, payload: Any) -> None:
        for engine, caller in self.present.items():
            self.channel.say(engine, Message(kind, caller.nonce, payload))

    def _interrupted(self, error: BaseException) -> str:
        return (
            f"The group {list(self.members)} was not formed: engine {self.channel.me} stopped"
            f" waiting ({type(error).__name__}). Run the cell again on all of them."
        )


def _follow(channel: Talk, members: tuple[int, ...], word: Any, timeout_s: float) -> Agreement:
    leader = members[0]
    attempt = _Attempt(next(_NONCES), time.monotonic() + timeout_s)
    channel.say(leader, Message("hello", attempt.nonce, (members, word)))

    def decided() -> bool:
        for message in channel.hear(leader):
            attempt.take(message)
        if attempt.agreement is None:
            # The leader may have learned of the death, and left, before it heard of this member.
            if dead := channel.dead(members):
                raise OutdatedError(_dead_text(dead, members))
            if time.monotonic() > attempt.deadline_s:
                raise GroupError(_missing_text([leader], members, timeout_s))
        return attempt.agreement is not None

    try:
        _poll(decided)
    except BaseException:
        channel.say(leader, Message("withdraw", attempt.nonce))
        raise
    assert attempt.agreement is not None
    return attempt.agreement


@dataclass
class _Attempt:
    nonce: int
    deadline_s: float
    agreement: Agreement | None = None

    def take(self, message: Message) -> None:
        if message.nonce != self.nonce:
            return
        if message.kind == "heard":
            self.deadline_s = time.monotonic() + message.payload + _GRACE_S
        elif message.kind == "go":
            self.agreement = message.payload
        elif message.kind == "abort":
            raise message.payload


def _poll(done: Callable[[], bool]) -> None:
    """Ask until ``done`` says yes or raises; MPI only moves messages while it is asked."""
    nap_s = 0.0
    while not done():
        time.sleep(nap_s)
        nap_s = min(_LONGEST_NAP_S, nap_s + 0.0001)


def _missing_text(missing: Sequence[int], members: Sequence[int], timeout_s: float) -> str:
    return (
        f"All members of a group must ask for it, but {_named(missing)} of {list(members)} did"
        f" not within {timeout_s:g} s: busy with another cell, or the cell was not sent there."
        " See cluster.engines; wait for the busy ones, or interrupt them, then run the cell again."
    )


def _dead_text(dead: Sequence[int], members: Sequence[int]) -> str:
    return (
        f"A group is made of living engines, but {_named(dead)} of {list(members)} died."
        " See cluster.deaths for why; cluster.heal() replaces the dead."
    )


def _named(engines: Sequence[int]) -> str:
    return f"engine{'s' if len(engines) > 1 else ''} {', '.join(map(str, engines))}"
