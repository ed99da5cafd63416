"""Bringing a world back to its size: the living spawn what is missing and merge with it."""

from __future__ import annotations

from collections.abc import Sequence

from interactive_dl.engine import _horovod, world


def grow(
    survivors: Sequence[int], new: Sequence[int], command: Sequence[str], *, timeout_s: float
) -> int:
    """Start new engines and form a world of old and new ones; every survivor calls this.

    Groups and Horovods of the old world end here: ``engine.init()`` makes new ones.

    Args:
        survivors: ids of the engines that live, ascending.
        new: ids of the engines to start, ascending, above all ids that ever were.
        command: the program that starts a new engine, with its words.
        timeout_s: how long to wait for survivors that have not called yet.

    Returns:
        The size of the new world.

    Raises:
        GroupError: a survivor is busy, dead or did not call.
    """
    meeting = world.meet(survivors, timeout_s=timeout_s)
    _horovod.shutdown()
    formed = world.join(meeting)
    program, *words = command
    children = formed.comm.Spawn(program, args=words, maxprocs=len(new))
    merged = children.Merge(high=False)
    grown = world.enter(merged, (*formed.ids, *new), world.current().my_id)
    return len(grown.ids)
