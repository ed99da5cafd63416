"""Worlds and groups without MPI: a mesh of messages, and Horovod on Gloo.

No launcher holds the engines together, so that none can end them all, and a group may span hosts of
which one is cut off. Who lives is the recorder's to say. Training never waits for it; but after a
failure a group is formed by those only whom it answers, so that of two halves of a network one
goes on.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from interactive_dl.engine._mesh import Mesh
from interactive_dl.engine._post import Post
from interactive_dl.engine._store import Store
from interactive_dl.errors import GroupError, PeerFailedError, RecorderUnreachableError
from interactive_dl.telemetry import exits
from interactive_dl.telemetry.attendance import RollCall

if TYPE_CHECKING:
    from mpi4py import MPI

_TOPIC = "meeting"
_FENCE_S = 10.0
# A rank that took part before it failed leaves the others a collective that they can complete.
_GRACE_S = 0.5
_NAP_S = 0.01
# What a rank waits for another within a collective of Gloo's: a host that is cut off is silent.
_GLOO_TIMEOUT_S = 5
_FAILED = (
    "Another rank of the group failed while this one waited for it. Call engine.init() on all"
    " engines to form the group again."
)


@dataclass(frozen=True)
class GlooWorld:
    """All engines of a cluster whose collectives are Gloo's.

    Attributes:
        folder: the cluster's folder.
        mesh: this engine's place among the others.
        roll: who is dead.
    """

    folder: Path
    mesh: Mesh
    roll: RollCall

    @classmethod
    def of(cls, folder: Path, my_id: int) -> GlooWorld:
        """This engine's world, which others can reach it in once its birth is recorded."""
        return cls(folder, Mesh(folder, my_id), RollCall(folder))

    @property
    def ids(self) -> tuple[int, ...]:
        return tuple(sorted({*exits.births(self.folder), self.my_id}))

    @property
    def my_id(self) -> int:
        return self.mesh.me

    @property
    def errors(self) -> tuple[type[Exception], ...]:
        return ()

    @property
    def rank(self) -> int:
        return self.ids.index(self.my_id)

    def living(self) -> tuple[int, ...]:
        """As ``World`` says, by a fresh word of the recorder.

        Raises:
            GroupError: the recorder does not answer, or has expelled this engine.
        """
        try:
            dead = self.roll.ask(_FENCE_S)
        except RecorderUnreachableError as error:
            raise GroupError(
                "After a failure a group is formed of those whom the recorder answers, but engine"
                f" {self.my_id} on {socket.gethostname()} is cut off from it, so the others may go"
                f" on without this one. {error}"
            ) from error
        if self.my_id in dead:
            raise GroupError(
                f"Engine {self.my_id} on {socket.gethostname()} was cut off, and the others may go"
                " on without it; it ends now. cluster.deaths has the reason."
            )
        living = exits.living(self.folder) | {self.my_id}
        return tuple(sorted(living - dead))

    def talk(self) -> GlooTalk:
        return GlooTalk(self, _TOPIC)

    def mail(self) -> Post:
        """As ``World`` says: the mesh reaches nobody before its birth."""
        return Post(self.folder, self.my_id)

    def connect(self, members: tuple[int, ...], tag: str) -> GlooLinks:
        self.mesh.discard_old()
        return GlooLinks(self, members, tag)


@dataclass(frozen=True)
class GlooTalk:
    """``Talk`` through the mesh.

    Attributes:
        world: of all engines.
        topic: tells these messages from others.
    """

    world: GlooWorld
    topic: str

    @property
    def me(self) -> int:
        return self.world.my_id

    def say(self, engine: int, message: Any) -> None:
        self.world.mesh.send(engine, self.topic, message)

    def hear(self, engine: int) -> Iterator[Any]:
        return self.world.mesh.take(self.topic, engine)

    def dead(self, engines: Sequence[int]) -> list[int]:
        dead = self.world.roll.dead()
        return [engine for engine in engines if engine in dead]


@dataclass
class GlooLinks:
    """A group by its meeting's tag. Rank 0 gathers what all are to have, and hands it round.

    Attributes:
        world: of all engines.
        members: ids by rank.
        tag: new for every meeting.
    """

    world: GlooWorld
    members: tuple[int, ...]
    tag: str
    _collectives: int = field(default=0, init=False)
    _is_revoked: bool = field(default=False, init=False)

    @property
    def rank(self) -> int:
        return self.members.index(self.world.my_id)

    @property
    def size(self) -> int:
        return len(self.members)

    @property
    def comm(self) -> MPI.Intracomm:
        raise GroupError(
            "Only MPI has a communicator, but this cluster's collectives are Gloo's. Use the"
            " group's own: group.allgather(value), group.broadcast(value); or start"
            ' idl.Cluster(..., collectives="mpi").'
        )

    def local(self) -> tuple[int, int]:
        mine = socket.gethostname()
        here = [rank for rank, host in enumerate(self.allgather(mine)) if host == mine]
        return here.index(self.rank), len(here)

    def allgather(self, value: Any) -> list[Any]:
        gathering = self._begin(value)
        self.await_all(gathering)
        return gathering.parts

    def broadcast(self, value: Any, root: int) -> Any:
        topic = self._next_topic()
        if self.rank == root:
            self._hand_round(topic, value)
            return value
        return self._receive(topic, root)

    def broadcast_array(self, array: np.ndarray, root: int) -> np.ndarray:
        return np.array(self.broadcast(np.asarray(array), root), order="C")

    def sum_array(self, array: np.ndarray) -> np.ndarray:
        topic, total = self._next_topic(), np.array(array, order="C")
        if self.rank == 0:
            for rank in range(1, self.size):
                total += self._receive(topic, rank)
        else:
            self.send(0, topic, total)
        return self.broadcast_array(total, 0)

    def pass_on(self, block: np.ndarray, to: int, into: np.ndarray, source: int) -> None:
        topic = f"{self.tag}/blocks"
        self.send(to, topic, block.tobytes())
        into[:] = np.frombuffer(self._receive(topic, source), np.uint8)

    def begin_allgather(self, numbers: np.ndarray) -> GlooGathering:
        return self._begin(numbers)

    def notify(self, rank: int, notice: Any) -> None:
        self.send(rank, self._notices, notice)

    def notices(self, rank: int) -> Iterator[Any]:
        return self.world.mesh.take(self._notices, self.members[rank])

    def dead(self) -> frozenset[int]:
        dead = self.world.roll.dead()
        return frozenset(rank for rank, engine in enumerate(self.members) if engine in dead)

    def revoke(self) -> None:
        self._is_revoked = True
        self._hand_round(self._revocations, True)

    def start_horovod(self, hvd: ModuleType) -> None:
        """Initialise Horovod in some 0.2 s.

        Its ranks find each other through a store that rank 0 serves meanwhile, to their hosts only.

        Raises:
            PeerFailedError: one of them could not, or died.
        """
        places = self.allgather((socket.gethostname(), self.world.mesh.host))
        with Store(self.world.mesh.host, {host for _, host in places}) as store:
            address = self.broadcast(store.address if self.rank == 0 else None, 0)
            os.environ |= _horovod_variables(self.rank, [name for name, _ in places], address)
            problem = ""
            try:
                hvd.init(comm=[])
            except ValueError as error:
                problem = str(error)
            problems = self.allgather(problem)
        if any(problems):
            hvd.shutdown()
            raise PeerFailedError(f"Gloo could not connect all ranks: {problems}")

    # -- messages by rank --------------------------------------------------------------------------

    def send(self, rank: int, topic: str, payload: Any) -> None:
        """Send to one member, without waiting."""
        self.world.mesh.send(self.members[rank], topic, payload)

    def take(self, rank: int, topic: str) -> Iterator[Any]:
        """What has come from a member."""
        return self.world.mesh.take(topic, self.members[rank])

    def await_all(self, gathering: GlooGathering) -> None:
        """Wait for what is under way.

        Raises:
            PeerFailedError: a rank failed, or died, before it took part.
        """
        self._wait(gathering.is_there)

    def _begin(self, value: Any) -> GlooGathering:
        gathering = GlooGathering(self, self._next_topic(), {self.rank: value})
        if self.rank != 0:
            self.send(0, gathering.topic, value)
        return gathering

    def _next_topic(self) -> str:
        """All ranks take part in all collectives, in the same order."""
        self._collectives += 1
        return f"{self.tag}/{self._collectives}"

    @property
    def _notices(self) -> str:
        return f"{self.tag}/notices"

    @property
    def _revocations(self) -> str:
        return f"{self.tag}/revoked"

    def _hand_round(self, topic: str, payload: Any) -> None:
        for rank in range(self.size):
            if rank != self.rank:
                self.send(rank, topic, payload)

    def _receive(self, topic: str, rank: int) -> Any:
        came: list[Any] = []

        def has_come() -> bool:
            came.extend(islice(self.take(rank, topic), 1))
            return bool(came)

        self._wait(has_come)
        return came[0]

    def _wait(self, is_done: Callable[[], bool]) -> None:
        failed_s: float | None = None
        while not is_done():
            now_s = time.monotonic()
            if self._is_over():
                self._give_up()
            if failed_s is None and self._anyone_failed():
                failed_s = now_s
            if failed_s is not None and now_s - failed_s > _GRACE_S:
                self._give_up()
            self.world.mesh.wait(_NAP_S)

    def _give_up(self) -> NoReturn:
        raise PeerFailedError(_FAILED)

    def _is_over(self) -> bool:
        mesh = self.world.mesh
        self._is_revoked |= any(mesh.has(self._revocations, one) for one in self.members)
        return self._is_revoked

    def _anyone_failed(self) -> bool:
        mesh = self.world.mesh
        return bool(self.dead()) or any(mesh.has(self._notices, one) for one in self.members)


@dataclass
class GlooGathering:
    """An allgather that is under way.

    Attributes:
        links: of its ranks.
        topic: its own.
        known: this rank's part; on rank 0 what has come of the others.
    """

    links: GlooLinks
    topic: str
    known: dict[int, Any]
    _parts: list[Any] | None = field(default=None, init=False)

    @property
    def parts(self) -> list[Any]:
        """What each rank gave, once it is there."""
        assert self._parts is not None
        return self._parts

    @property
    def values(self) -> np.ndarray:
        return np.stack(self.parts)

    def is_there(self) -> bool:
        if self._parts is None and self.links.rank == 0:
            self._collect()
        elif self._parts is None:
            self._parts = next(self.links.take(0, self.topic), None)
        return self._parts is not None

    def finish(self) -> None:
        self.links.await_all(self)

    def abandon(self) -> None:
        """Nothing is to be done: what still comes belongs to no other collective."""

    def _collect(self) -> None:
        for rank in range(self.links.size):
            if rank not in self.known:
                self.known.update((rank, part) for part in self.links.take(rank, self.topic))
        if len(self.known) == self.links.size:
            self._parts = [self.known[rank] for rank in range(self.links.size)]
            for rank in range(1, self.links.size):
                self.links.send(rank, self.topic, self._parts)


def _horovod_variables(rank: int, hosts: Sequence[str], address: tuple[str, int]) -> dict[str, str]:
    """What Horovod reads of its place; ``hosts`` are those of all ranks.

    Ranks of one host are local to each other; those with the same local rank, one on each host, are
    across.
    """
    local_ranks = [hosts[:other].count(host) for other, host in enumerate(hosts)]
    across = [other for other in range(len(hosts)) if local_ranks[other] == local_ranks[rank]]
    values = {
        "RANK": rank,
        "SIZE": len(hosts),
        "LOCAL_RANK": local_ranks[rank],
        "LOCAL_SIZE": hosts.count(hosts[rank]),
        "CROSS_RANK": across.index(rank),
        "CROSS_SIZE": len(across),
        "HOSTNAME": hosts[rank],
        "CONTROLLER": "gloo",
        "CPU_OPERATIONS": "gloo",
        "GLOO_RENDEZVOUS_ADDR": address[0],
        "GLOO_RENDEZVOUS_PORT": address[1],
        "GLOO_TIMEOUT_SECONDS": os.environ.get("HOROVOD_GLOO_TIMEOUT_SECONDS", _GLOO_TIMEOUT_S),
    }
    return {f"HOROVOD_{name}": str(value) for name, value in values.items()}
