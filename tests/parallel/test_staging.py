"""Files staged over real ranks, each taken for a node of its own, or two for one."""

from __future__ import annotations

import signal
from dataclasses import replace

import numpy as np
import pytest

from interactive_dl import data
from interactive_dl.data import staging
from interactive_dl.errors import StagingError

SIZES = {"a.bin": 700_001, "b.bin": 0, "c/d.bin": 123_457}
BLOCK_MIB = 0.05


@pytest.fixture
def shared(group, shared_path):
    folder = shared_path / "set"
    if group.rank == 0:
        (folder / "c").mkdir(parents=True)
        for seed, (name, size) in enumerate(SIZES.items()):
            (folder / name).write_bytes(np.random.default_rng(seed).bytes(size))
    group.comm.Barrier()
    return folder


def contents(folder):
    return {name: (folder / name).read_bytes() for name in SIZES}


def on_hosts(group, ranks_per_host, folder):
    """The same group as if its ranks were on several hosts, and this one's storage."""
    hosts = tuple(f"n{rank // ranks_per_host}" for rank in range(group.size))
    own = folder / hosts[group.rank]
    own.mkdir(exist_ok=True)
    return replace(group, hosts=hosts), own


@pytest.mark.parametrize("ranks_per_host", [1, 2])
def test_every_node_gets_what_is_read_once(group, shared, shared_path, ranks_per_host):
    ranks, own = on_hosts(group, ranks_per_host, shared_path)
    staged = data.stage(shared, ranks, folder=own, block_mib=BLOCK_MIB)
    assert staged.path.is_relative_to(own)
    assert contents(staged.path) == contents(shared)
    told = group.allgather(staged)
    assert sum(one.read_bytes for one in told) == sum(SIZES.values())
    assert sum(one.received_bytes for one in told) == sum(SIZES.values()) * (staged.nodes - 1)
    again = data.stage(shared, ranks, folder=own)
    assert (again.path, again.read_bytes) == (staged.path, 0)


def test_an_interrupt_and_an_error_of_one_rank_end_it_on_all_and_leave_the_group_whole(
    group, shared, shared_path, monkeypatch
):
    ranks, own = on_hosts(group, 1, shared_path)
    last = group.size - 1
    fill = staging.fill

    struck = []

    def interrupted(*args):
        if not struck:  # the third one would raise at once
            struck.append(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
        fill(*args)

    def failing(path, *_):
        raise StagingError(f"{path} is gone")

    for bad, error in ((interrupted, KeyboardInterrupt), (failing, StagingError)):
        with monkeypatch.context() as patched:
            if group.rank == last:
                patched.setattr(staging, "fill", bad)
            with pytest.raises(error) as caught:
                data.stage(shared, ranks, folder=own, block_mib=BLOCK_MIB)
        assert len(set(group.allgather(str(caught.value)))) == 1
        assert not list(own.rglob(".*.part"))
    staged = data.stage(shared, ranks, folder=own, block_mib=BLOCK_MIB)
    assert contents(staged.path) == contents(shared)
