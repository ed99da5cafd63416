"""Files of a shared file system copied to every node's own storage; each byte is read once.

    local = data.stage("/project/climate", group)
    train = data.open(local, split="train").shard(group).batch(32)

Copied by every node for itself, a set is read as many times as there are nodes, from a file system
that all of them share. Here each rank reads a part, and the nodes forward the parts to each other.
"""

from __future__ import annotations

import math
import os
import random
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from interactive_dl.data.ahead import read_ahead
from interactive_dl.data.blocks import Plan, Seat, Stretch
from interactive_dl.data.copies import NodeCopy, gigabytes, own_storage
from interactive_dl.data.manifest import File, Manifest, list_files
from interactive_dl.data.ranks import Alone, Interrupts, Nodes, Value, agree, gather
from interactive_dl.errors import DataError, StagingError

BLOCK_MIB = 16.0
_AIM = "stage the data"
_RETRY_S = 0.5


@dataclass(frozen=True, repr=False)
class Staged(os.PathLike[str]):
    """A copy on this node's own storage; stands for its path wherever one is asked for.

    Attributes:
        path: of the copy.
        source: of the original.
        files: number of files.
        size: of all files, in bytes.
        nodes: how many nodes have a copy.
        read_bytes: what this rank read from the shared file system.
        received_bytes: what came to it from other nodes.
        is_new: whether some node had no copy before.
        took_s: from the call to the last node's last byte.
    """

    path: Path
    source: Path
    files: int
    size: int
    nodes: int
    read_bytes: int
    received_bytes: int
    is_new: bool
    took_s: float

    def __fspath__(self) -> str:
        return str(self.path)

    def __repr__(self) -> str:
        whole = f"{self.files} file{'s' * (self.files != 1)}, {gigabytes(self.size)}"
        nodes = f"{self.nodes} node{'s' * (self.nodes != 1)}"
        if not self.is_new:
            return f"<Staged: {whole}, on {nodes} before; here in {self.path}>"
        return (
            f"<Staged: {whole}, on {nodes} in {self.took_s:.1f} s"
            f" ({self.size / self.took_s / 1e6:.0f} MB/s each); this rank read"
            f" {gigabytes(self.read_bytes)} of {self.source} and received"
            f" {gigabytes(self.received_bytes)}; here in {self.path}>"
        )


def stage(
    path: str | os.PathLike[str],
    group: Nodes | None = None,
    *,
    folder: str | os.PathLike[str] | None = None,
    block_mib: float = BLOCK_MIB,
) -> Staged:
    """Copy a file, or a folder with all that is in it, to the own storage of each node.

    All ranks call this. They read disjoint parts, so that each byte is read once in all, and pass
    them on from node to node. A copy that is whole and has the original's sizes and times is used
    as it is, also by later groups; one that is out of date is made anew. Copies are not removed:
    they lie in ``interactive_dl-<user id>`` in the folder.

    An interrupt ends it on all ranks after the same block. What is half is removed.

    Args:
        path: on a file system that all nodes share.
        group: the ranks, ``engine.init()``'s; none for a single process.
        folder: the nodes' own storage; by default ``$SLURM_TMPDIR``, ``$TMPDIR``, else ``/tmp``.
            It may differ between nodes.
        block_mib: what a rank reads and passes on at once. It holds up to four such blocks.

    Returns:
        Where the copy is on this node, and what it took. ``data.open`` takes it for a path.

    Raises:
        SourceNotFoundError: there is nothing.
        SourcesDifferError: the ranks named different paths.
        StagingError: blocks of less than a byte, no room, a folder that cannot be used, a file that
            changed meanwhile.
        KeyboardInterrupt: a rank was interrupted. This and the errors are alike on every rank.
    """
    ranks = Alone() if group is None else group
    began_s = time.monotonic()
    source = Path(path).absolute()
    with ranks.interrupts() as signals:
        agree(ranks, lambda: _request(source, block_mib))
        manifest = gather(ranks, lambda: list_files(source) if ranks.rank == 0 else None, _AIM)[0]
        assert manifest is not None
        plan = Plan(manifest.size, ranks.hosts, round(block_mib * 2**20))
        place = _Place(ranks, plan, signals, _copy_of_node(ranks, plan, folder, manifest))
        try:
            is_new = not place.claim()
            told = place.make() if is_new else _Told()
        finally:
            place.copy.release()
    return Staged(
        place.copy.path,
        source,
        len(manifest.files),
        manifest.size,
        len(plan.nodes),
        told.read_bytes,
        told.received_bytes,
        is_new,
        time.monotonic() - began_s,
    )


def _request(source: Path, block_mib: float) -> dict[str, object]:
    """What all ranks must ask for alike.

    Raises:
        StagingError: a block that holds nothing, or is endless.
    """
    if not 1 <= block_mib * 2**20 < math.inf:
        raise StagingError(
            f"`block_mib > 0`, and finite, must hold, but got (block_mib={block_mib}). A block is"
            f" what a rank reads at once; {BLOCK_MIB:g} is a good size."
        )
    return {"path to be staged": str(source), "block_mib": block_mib}


def _copy_of_node(
    ranks: Nodes, plan: Plan, folder: str | os.PathLike[str] | None, manifest: Manifest
) -> NodeCopy:
    """The first rank of each node says where."""
    bases = ranks.allgather(own_storage(folder))
    return NodeCopy(bases[plan.first(ranks.rank)], manifest)


@dataclass
class _Told:
    """What a rank did, in bytes."""

    read_bytes: int = 0
    received_bytes: int = 0


class _Block(NamedTuple):
    """Bytes that were read, or why they could not be."""

    content: np.ndarray
    problem: Exception | None


class _Interrupted(DataError):
    """Some rank was interrupted."""


@dataclass
class _Place:
    """A rank's part in a staging.

    Attributes:
        ranks: all of them.
        plan: who reads what.
        signals: interrupts of this rank.
        copy: its node's.
    """

    ranks: Nodes
    plan: Plan
    signals: Interrupts
    copy: NodeCopy
    _is_stale: bool = field(default=True, init=False)

    @property
    def _is_first(self) -> bool:
        """Whether it is this rank that sees to its node's copy."""
        return self.plan.first(self.ranks.rank) == self.ranks.rank

    def claim(self) -> bool:
        """Have each node's copy made by this group alone; whether all are there already.

        Others may make some of them: then no claim is kept, or two groups could wait for each
        other.
        """
        while True:
            claims = self._agreed(lambda: self.copy.claim() if self._is_first else None)
            if "busy" not in claims:
                self._is_stale = claims[self.plan.first(self.ranks.rank)] != "valid"
                return "claimed" not in claims
            self.copy.release()
            time.sleep(random.uniform(0, _RETRY_S))

    def make(self) -> _Told:
        """Make the copies of the nodes that have none."""
        is_maker = self._is_first and self._is_stale
        try:
            self._agreed(lambda: self.copy.begin() if is_maker else None)
            told = self._forward_all()
            self._agreed(lambda: self.copy.publish() if is_maker else None)
            self._agreed(self._require_copy)
        except BaseException:
            if self._is_stale:
                self.copy.discard()
            raise
        return told

    def _forward_all(self) -> _Told:
        """Read this rank's blocks and see to it that each node has all blocks."""
        seat, told = self.plan.seat(self.ranks.rank), _Told()
        if seat is None:
            for _ in range(self.plan.rounds):
                self._agreed(lambda: None)
            return told
        with closing(read_ahead(partial(self._read, seat), range(self.plan.rounds))) as blocks:
            for number, block in enumerate(blocks):
                told.read_bytes += len(block.content) * self._is_stale
                problems = [block.problem]
                for origin, content in self._passing(seat, number, block.content):
                    told.received_bytes += len(content) * (origin != seat)
                    problems.append(self._written(self.plan.block(origin, number), content))
                self._agreed(partial(_raise_first, problems))
        return told

    def _passing(
        self, seat: Seat, number: int, content: np.ndarray
    ) -> Iterator[tuple[Seat, np.ndarray]]:
        """The blocks of a round as this rank gets them: its own, then those of its lane."""
        yield seat, content
        to, source = self.plan.ring(seat)
        for step in range(1, len(self.plan.nodes)):
            origin = self.plan.origin(seat, step)
            into = np.empty(len(self.plan.block(origin, number)), np.uint8)
            self.ranks.pass_on(content, to, into, source)
            content = into
            yield origin, content

    def _read(self, seat: Seat, number: int) -> _Block:
        """A block of this rank's part: of the original, or of the copy that its node has."""
        block = self.plan.block(seat, number)
        content = np.empty(len(block), np.uint8)
        folder = self.copy.manifest.parent if self._is_stale else self.copy.home
        try:
            for file, offset, part in self._parts(block, content):
                fill(folder / file.name, file, offset, part)
        except Exception as error:  # noqa: BLE001 - the others of the ring wait for this rank
            return _Block(content, error)
        return _Block(content, None)

    def _written(self, block: range, content: np.ndarray) -> Exception | None:
        """Write a block to this node's copy, where it has none yet; why that failed."""
        try:
            for file, offset, part in self._parts(block, content) if self._is_stale else ():
                self.copy.write(file, offset, part)
        except StagingError as error:
            return error
        return None

    def _parts(self, block: range, content: np.ndarray) -> Iterator[tuple[File, int, memoryview]]:
        """A block file by file: which one, from where on, and the bytes."""
        at = 0
        for piece in self._stretch.pieces(block):
            part = content.data[at : at + piece.length]
            yield self.copy.manifest.files[piece.file], piece.offset, part
            at += piece.length

    @cached_property
    def _stretch(self) -> Stretch:
        return Stretch([file.size for file in self.copy.manifest.files])

    def _require_copy(self) -> None:
        """Every rank must see its node's copy.

        Raises:
            StagingError: it does not.
        """
        if not self.copy.home.is_dir():
            raise StagingError(
                f"Ranks of one host must share its storage, but {self.copy.home} is not there"
                " for all of them. Name a folder that they share:"
                ' data.stage(path, group, folder="...").'
            )

    def _agreed(self, look: Callable[[], Value]) -> list[Value]:
        """``gather``, and an end for all where one was interrupted.

        Raises:
            KeyboardInterrupt: a rank was.
        """

        def unless_interrupted() -> Value:
            if self.signals.count:
                raise _Interrupted
            return look()

        try:
            return gather(self.ranks, unless_interrupted, _AIM)
        except _Interrupted:
            self.signals.await_first()
            raise KeyboardInterrupt("The staging was interrupted, on all ranks.") from None


def fill(path: Path, file: File, offset: int, content: memoryview) -> None:
    """Read bytes of a file, as many as ``content`` has room for.

    Raises:
        StagingError: it is not there any more, or not as it was.
    """
    try:
        with open(path, "rb", buffering=0) as opened:
            opened.seek(offset)
            while content and (count := opened.readinto(content)):
                content = content[count:]
    except OSError as error:
        raise StagingError(
            f"{path} must be readable on every host that has an engine, but: {error}."
        ) from error
    if content or not file.is_at(path):
        raise StagingError(
            f"{path} must not change while it is staged, but it did. Stage it again when it is"
            " complete."
        )


def _raise_first(problems: Iterable[Exception | None]) -> None:
    for problem in filter(None, problems):
        raise problem
