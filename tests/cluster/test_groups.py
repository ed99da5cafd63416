"""Engines know which of them a cell was sent to, and form groups of just those."""

from __future__ import annotations

import time
from collections.abc import Callable

import ipyparallel
import pytest
from ipyparallel.error import CompositeError

from interactive_dl.cluster import Cluster

Answer = tuple[tuple[int, ...] | None, tuple[int, ...] | None]


@ipyparallel.interactive
def _targets() -> Answer:
    """What the cell knows in its own thread and in another one."""
    import threading

    from interactive_dl.engine import world

    elsewhere: list[tuple[int, ...] | None] = []
    thread = threading.Thread(target=lambda: elsewhere.append(world.cell_targets()))
    thread.start()
    thread.join()
    return world.cell_targets(), elsewhere[0]


@ipyparallel.interactive
def _form(timeout_s: float = 10.0, ids: tuple[int, ...] | None = None) -> tuple[object, int, float]:
    import time

    from interactive_dl.engine import _horovod, world

    _horovod.shutdown()
    began_s = time.perf_counter()
    formed = world.form(ids, timeout_s=timeout_s)
    took_s = time.perf_counter() - began_s
    total = formed.comm.allreduce(world.current().my_id)
    formed.comm.Free()
    return formed.ids, total, took_s


@ipyparallel.interactive
def _block(seconds: float) -> None:
    import time

    time.sleep(seconds)


def test_a_cell_knows_its_targets_in_every_kind_of_view(cluster: Cluster) -> None:
    ids = tuple(engine.id for engine in cluster.engines)
    client = cluster.client
    assert client[:].apply_sync(_targets) == [(ids, ids)] * len(ids)
    assert client[list(ids[:2])].apply_sync(_targets) == [(ids[:2], ids[:2])] * 2
    assert client[ids[1]].apply_sync(_targets) == ((ids[1],), (ids[1],))
    assert client.broadcast_view().apply_sync(_targets) == [(ids, ids)] * len(ids)
    chosen, _ = client.load_balanced_view().apply_sync(_targets)
    assert len(chosen) == 1
    client[list(ids[1:])].execute("from interactive_dl.engine import world", block=True)
    client[list(ids[1:])].execute("seen = world.cell_targets()", block=True)
    assert client[list(ids[1:])].pull("seen", block=True) == [ids[1:]] * 2


def test_a_foreign_client_does_not_say_its_targets(cluster: Cluster) -> None:
    with ipyparallel.Client(str(cluster._places.client_connection)) as foreign:
        assert foreign[:].apply_sync(_targets) == [(None, None)] * len(cluster.engines)
        everybody = tuple(engine.id for engine in cluster.engines)
        formed = foreign[:].apply_sync(_form)
    assert [ids for ids, _, _ in formed] == [everybody] * len(everybody)


def test_a_group_is_formed_of_the_cells_targets_in_milliseconds(cluster: Cluster) -> None:
    first, _, last = (engine.id for engine in cluster.engines)
    pair = cluster.client[[first, last]]
    pair.apply_sync(_form)
    results = pair.apply_sync(_form)
    assert [(ids, total) for ids, total, _ in results] == [((first, last), first + last)] * 2
    assert min(took_s for *_, took_s in results) < 0.5


def test_a_group_does_not_wait_for_engines_outside_of_it(cluster: Cluster) -> None:
    first, second, busy = (engine.id for engine in cluster.engines)
    blocked = cluster.client[busy].apply_async(_block, 3.0)
    formed = cluster.client[[first, second]].apply_async(_form).get(timeout=20)
    assert not blocked.ready()
    assert [ids for ids, _, _ in formed] == [(first, second)] * 2
    blocked.get(timeout=20)


@pytest.mark.parametrize("position", [0, 1])
def test_a_busy_member_is_named_on_all_who_wait(cluster: Cluster, position: int) -> None:
    busy = cluster.engines[position].id
    blocked = cluster.client[busy].apply_async(_block, 4.0)
    began_s = time.monotonic()
    waiting = [engine.id for engine in cluster.engines if engine.id != busy]
    everybody = tuple(engine.id for engine in cluster.engines)
    with pytest.raises(CompositeError) as raised:
        cluster.client[waiting].apply_async(_form, 0.5, everybody).get(timeout=20)
    assert time.monotonic() - began_s < 3.5
    texts = [error[1] for error in raised.value.elist]
    assert len(texts) == len(waiting)
    assert all(f"engine {busy} of" in text and "did not" in text for text in texts)
    blocked.get(timeout=20)
    assert len(cluster.client[:].apply_async(_form).get(timeout=20)) == len(everybody)


def test_a_dead_member_is_named_at_once(cluster: Cluster, kill: Callable[..., None]) -> None:
    everybody = tuple(engine.id for engine in cluster.engines)
    kill(cluster, everybody[-1])
    began_s = time.monotonic()
    with pytest.raises(CompositeError, match=rf"engine {everybody[-1]} of .* died") as raised:
        cluster.client[:].apply_async(_form, 20.0, everybody).get(timeout=30)
    assert time.monotonic() - began_s < 10
    assert len(raised.value.elist) == len(everybody) - 1
    cluster.heal()


def test_callers_for_different_groups_are_told(cluster: Cluster) -> None:
    first, second, third = (engine.id for engine in cluster.engines)
    leader = cluster.client[first].apply_async(_form, 10.0, (first, second, third))
    other = cluster.client[second].apply_async(_form, 10.0, (first, second))
    for waiting in (leader, other):
        with pytest.raises(ipyparallel.error.RemoteError, match="must ask for the same engines"):
            waiting.get(timeout=20)
