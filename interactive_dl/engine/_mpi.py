"""Worlds and groups of MPI: communicators (fault tolerance by ULFM)."""

from __future__ import annotations

import contextlib
import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from interactive_dl.engine import _handshake, _waiting

if TYPE_CHECKING:
    from mpi4py import MPI

_SEGMENT = "/dev/shm/mpich_shm_"
_MAIL_TAG = 29_872
_TAGS = 2**15  # as many as every MPI has
_SENDING: list[Any] = []  # requests must outlive their messages


@dataclass(frozen=True)
class MpiWorld:
    """All engines that one MPI can reach.

    Attributes:
        comm: communicator of the whole world, the dead included; use it to form groups only.
        ids: stable engine ids, by rank of ``comm``; ascending.
        my_id: this engine's id.
    """

    comm: MPI.Intracomm
    ids: tuple[int, ...]
    my_id: int

    @classmethod
    def of(cls, comm: MPI.Intracomm, ids: tuple[int, ...], my_id: int) -> Self:
        """The world of ``comm``, whose deaths are errors from now on."""
        _return_errors(comm)
        unlink_segments()
        return cls(comm, ids, my_id)

    @property
    def errors(self) -> tuple[type[Exception], ...]:
        from mpi4py import MPI

        return (MPI.Exception,)

    @property
    def rank(self) -> int:
        return self.ids.index(self.my_id)

    def living(self) -> tuple[int, ...]:
        dead = _handshake.failed_ranks(self.comm)
        return tuple(engine for rank, engine in enumerate(self.ids) if rank not in dead)

    def talk(self) -> _handshake.Channel:
        return _handshake.world_channel(self.comm, self.ids)

    def mail(self) -> _handshake.Channel:
        return _handshake.Channel(self.comm, self.ids, _MAIL_TAG)

    def connect(self, members: tuple[int, ...], tag: str) -> MpiLinks:
        """As ``World`` says. Horovod must not run in any of them: with its thread's messages under
        way, ``Create_from_group`` hangs (seen with 4 ranks and Open MPI 5.0.11).
        """
        from mpi4py import MPI

        if len(members) == 1:  # also in a script without mpiexec, where groups cannot be made
            return MpiLinks(_return_errors(MPI.COMM_SELF.Dup()))
        everyone = self.comm.Get_group()
        group = everyone.Incl([self.ids.index(engine) for engine in members])
        comm = _create(self.comm, group, tag)
        group.Free()
        everyone.Free()
        return MpiLinks(_return_errors(comm))


def unlink_segments() -> None:
    """Have the kernel free MPICH's shared memory when the last rank of this host ends.

    MPICH removes the files when it is finalised, which engines never are. By the time that there is
    a communicator every rank has mapped them.
    """
    with open("/proc/self/maps") as maps:
        paths = {line.split(maxsplit=5)[-1].strip() for line in maps if _SEGMENT in line}
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)


def _create(world: MPI.Intracomm, group: MPI.Group, tag: str) -> MPI.Intracomm:
    """A communicator of a group, made among its members alone.

    ``Create_from_group`` works after deaths, too. It needs PMIx's groups, which Slurm's plug-in
    lacks (seen with 22.05): then a death has ended the whole world, and ``Create_group`` will do.
    """
    from mpi4py import MPI

    try:
        return MPI.Intracomm.Create_from_group(group, tag, errhandler=MPI.ERRORS_RETURN)
    except MPI.Exception as error:
        if error.Get_error_class() != MPI.ERR_UNSUPPORTED_OPERATION:
            raise
        return world.Create_group(group, zlib.crc32(tag.encode()) % _TAGS)


def _return_errors(comm: MPI.Intracomm) -> MPI.Intracomm:
    from mpi4py import MPI

    comm.Set_errhandler(MPI.ERRORS_RETURN)
    return comm


@dataclass(frozen=True)
class MpiLinks:
    """A group's communicator."""

    comm: MPI.Intracomm

    @property
    def rank(self) -> int:
        return int(self.comm.rank)

    @property
    def size(self) -> int:
        return int(self.comm.size)

    def local(self) -> tuple[int, int]:
        from mpi4py import MPI

        here = self.comm.Split_type(MPI.COMM_TYPE_SHARED)
        found = here.Get_rank(), here.Get_size()
        here.Free()
        return found

    def allgather(self, value: Any) -> list[Any]:
        return _waiting.allgather(self.comm, value)

    def broadcast(self, value: Any, root: int) -> Any:
        return _waiting.broadcast(self.comm, value, root)

    def broadcast_array(self, array: np.ndarray, root: int) -> np.ndarray:
        return _waiting.broadcast_array(self.comm, array, root)

    def sum_array(self, array: np.ndarray) -> np.ndarray:
        return _waiting.sum_array(self.comm, array)

    def pass_on(self, block: np.ndarray, to: int, into: np.ndarray, source: int) -> None:
        _waiting.pass_on(self.comm, block, to, into, source)

    def begin_allgather(self, numbers: np.ndarray) -> MpiGathering:
        values = np.empty((self.size, numbers.size), dtype=np.float64)
        return MpiGathering(self.comm, numbers, values, self.comm.Iallgather(numbers, values))

    def notify(self, rank: int, notice: Any) -> None:
        from mpi4py import MPI

        try:
            _SENDING.append(self.comm.isend(notice, dest=rank, tag=_waiting.NOTICE_TAG))
        except MPI.Exception:
            return  # a dead peer needs no notice

    def notices(self, rank: int) -> Iterator[Any]:
        from mpi4py import MPI

        try:
            while self.comm.iprobe(source=rank, tag=_waiting.NOTICE_TAG):
                yield self.comm.recv(source=rank, tag=_waiting.NOTICE_TAG)
        except MPI.Exception:
            return  # nothing more comes from a dead peer

    def dead(self) -> frozenset[int]:
        return _handshake.failed_ranks(self.comm)

    def revoke(self) -> None:
        self.comm.Revoke()

    def start_horovod(self, hvd: ModuleType) -> None:
        """Initialise Horovod in 2-7 ms.

        Horovod reduces over a duplicate of what it is given, which nobody else can reach. MPI tells
        of a death only those ranks of a collective that talk to the dead one; the others would wait
        for ever for those who have left. So the duplicate inherits an error handler that revokes
        it, which ends the collective for everybody.
        """
        own = self.comm.Dup()
        own.Set_errhandler(_revoking())
        hvd.init(comm=own)
        own.Free()


@cache
def _revoking() -> MPI.Errhandler:
    """One for the process: MPI has room for a few only."""
    from mpi4py import MPI

    def revoke(comm: MPI.Comm, _error: int) -> None:
        comm.Revoke()

    return MPI.Comm.Create_errhandler(revoke)


@dataclass(frozen=True)
class MpiGathering:
    """An allgather of MPI that is under way; ``numbers`` and ``values`` are its buffers."""

    comm: MPI.Intracomm
    numbers: np.ndarray
    values: np.ndarray
    request: MPI.Request

    def is_there(self) -> bool:
        return bool(self.request.Test())

    def finish(self) -> None:
        _waiting.wait(self.comm, self.request)

    def abandon(self) -> None:
        _waiting.abandon(self.request, self.numbers, self.values)
