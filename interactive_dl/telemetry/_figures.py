"""What reports say of the ranks: of each one, or, where there are many, of all of them in short."""

from __future__ import annotations

import msgspec


# They never form cycles, so the garbage collector need not look at them: reading is faster.
class RankTimes(msgspec.Struct, frozen=True, gc=False):
    """Seconds per step by rank, means over the steps since the last report."""

    data_wait_s: tuple[float, ...]
    compute_s: tuple[float, ...]
    allreduce_wait_s: tuple[float, ...]
    other_s: tuple[float, ...]


class RankSpread(msgspec.Struct, frozen=True, gc=False):
    """Seconds per step of many ranks: their quantiles, and the slowest ranks.

    Attributes:
        ranks: how many there are.
        own_s: data wait and compute together; by ``spread.QUANTILES``, as are the next four.
        data_wait_s, compute_s, allreduce_wait_s, other_s: each for itself: the rank at a quantile
            of one need not be at the same quantile of another.
        worst: ranks that take the most time of their own, the slowest first.
        worst_times: theirs, in this order.
    """

    ranks: int
    own_s: tuple[float, ...]
    data_wait_s: tuple[float, ...]
    compute_s: tuple[float, ...]
    allreduce_wait_s: tuple[float, ...]
    other_s: tuple[float, ...]
    worst: tuple[int, ...]
    worst_times: RankTimes


class RankResources(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """What ranks' processes use: 100 % is one core; GPUs where there are any."""

    cpu_percent: tuple[float, ...]
    rss_bytes: tuple[int, ...]
    gpu_percent: tuple[float, ...] = ()
    gpu_memory_bytes: tuple[int, ...] = ()


class ResourceSpread(msgspec.Struct, frozen=True, gc=False):
    """What many ranks' processes use: the quantiles, and the ranks that hold the most memory.

    Attributes:
        ranks: how many there are.
        all: each number's quantiles, by ``spread.QUANTILES``.
        worst: ranks that hold the most memory, the largest first.
        worst_use: theirs, in this order.
    """

    ranks: int
    all: RankResources
    worst: tuple[int, ...]
    worst_use: RankResources
