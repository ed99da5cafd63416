"""Which rank reads which bytes, and whom it hands them to: pure arithmetic, alike on every rank.

The files are one stretch of bytes. As many ranks of each node read as the smallest node has: of k
nodes with n such ranks each, every one reads the k*n-th part. It reads block by block, and the
ranks with one number on their nodes, a *lane*, pass their blocks on in a ring: after k - 1 steps
each node has all of them. So every byte is read once, and crosses each node's link once either way.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import NamedTuple


class Piece(NamedTuple):
    """Bytes of one file: number of the file, first byte, how many."""

    file: int
    offset: int
    length: int


class Seat(NamedTuple):
    """A reading rank's place: number of its node, and its number there."""

    node: int
    lane: int


@dataclass(frozen=True)
class Plan:
    """Who reads what.

    Args:
        total_bytes: of all files.
        hosts: of the ranks, by rank.
        block_bytes: what a rank reads at once, at most.
    """

    total_bytes: int
    hosts: tuple[str, ...]
    block_bytes: int

    @cached_property
    def nodes(self) -> tuple[tuple[int, ...], ...]:
        """Ranks of each node, ascending."""
        ranks: dict[str, list[int]] = {}
        for rank, host in enumerate(self.hosts):
            ranks.setdefault(host, []).append(rank)
        return tuple(map(tuple, ranks.values()))

    @cached_property
    def lanes(self) -> int:
        """How many ranks of each node read."""
        return min(map(len, self.nodes))

    @property
    def rounds(self) -> int:
        """How many blocks each of them reads, the last ones perhaps smaller or empty."""
        largest = -(-self.total_bytes // (len(self.nodes) * self.lanes))
        return -(-largest // self.block_bytes)

    def seat(self, rank: int) -> Seat | None:
        """Where a rank reads; None for one that does not."""
        node = next(number for number, ranks in enumerate(self.nodes) if rank in ranks)
        lane = self.nodes[node].index(rank)
        return Seat(node, lane) if lane < self.lanes else None

    def first(self, rank: int) -> int:
        """The first rank of a rank's node."""
        return self.hosts.index(self.hosts[rank])

    def part(self, seat: Seat) -> range:
        """The bytes that a rank reads in all."""
        readers = len(self.nodes) * self.lanes
        number = seat.node * self.lanes + seat.lane
        return range(
            self.total_bytes * number // readers, self.total_bytes * (number + 1) // readers
        )

    def block(self, seat: Seat, number: int) -> range:
        """The bytes that it reads in one round."""
        start = number * self.block_bytes
        return self.part(seat)[start : start + self.block_bytes]

    def ring(self, seat: Seat) -> tuple[int, int]:
        """To which rank it passes blocks on, and from which rank others come."""
        following, previous = (
            self.nodes[(seat.node + step) % len(self.nodes)][seat.lane] for step in (1, -1)
        )
        return following, previous

    def origin(self, seat: Seat, step: int) -> Seat:
        """Whose block comes in a step of the ring, from 1."""
        return Seat((seat.node - step) % len(self.nodes), seat.lane)


class Stretch:
    """Files one after another.

    Args:
        sizes: bytes of each.
    """

    def __init__(self, sizes: Sequence[int]) -> None:
        self._ends = list(accumulate(sizes))

    def pieces(self, block: range) -> list[Piece]:
        """What of which files the bytes are."""
        found = []
        at = block.start
        while at < block.stop:
            file = bisect_right(self._ends, at)
            begin = self._ends[file - 1] if file else 0
            end = min(self._ends[file], block.stop)
            found.append(Piece(file, at - begin, end - at))
            at = end
        return found
