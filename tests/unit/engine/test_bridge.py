"""Engines of several worlds agree on how they connect, and talk through files before."""

from __future__ import annotations

from pathlib import Path

from interactive_dl.engine._bridge import Bridge, Caller, plan
from interactive_dl.engine._post import Post
from interactive_dl.telemetry import exits


def _caller(*world: int, ports: tuple[str, ...] = (), everybody: tuple[int, ...] = ()) -> Caller:
    return Caller(world, ports, everybody, None)


def test_all_connect_world_by_world_to_the_lowest_ids() -> None:
    old = _caller(0, 1, 2, 3, ports=("a", "b", "c"), everybody=(0, 1, 3, 4, 5))
    callers = {5: _caller(5), 3: old._replace(ports=()), 4: _caller(4), 0: old}
    assert plan(callers) == Bridge(((0, 3), (4,), (5,)), ("a", "b", "c"), is_whole=False)
    assert plan({**callers, 1: old._replace(ports=())}).is_whole


def test_worlds_whose_ids_interleave_are_kept_apart() -> None:
    first = _caller(0, 5, ports=("a",), everybody=(0, 4, 5))
    bridge = plan({0: first, 4: _caller(4), 5: first})
    assert bridge.order == (0, 5, 4)
    assert bridge.part(5) == (0, 5)


def test_messages_through_files_arrive_once_each_and_in_order(tmp_path: Path) -> None:
    here, there, third = (Post(tmp_path, engine) for engine in (1, 12, 2))
    assert list(here.hear(12)) == []
    for number in range(12):
        there.say(1, ("hello", number))
    third.say(1, "aside")
    assert list(here.hear(12)) == [("hello", number) for number in range(12)]
    assert list(here.hear(12)) == []
    assert list(here.hear(2)) == ["aside"]
    assert list(here.hear(1)) == []


def test_the_dead_are_those_whose_watchers_said_so(tmp_path: Path) -> None:
    for engine in (0, 1):
        exits.record_birth(tmp_path, exits.Birth(engine, 0, (engine,), "node7", 9, 8))
    exits.record_exit(tmp_path, exits.Exit(1, "node7", 9, 1, None, 1.0, 0))
    assert Post(tmp_path, 0).dead([0, 1]) == [1]
