"""Who reads which bytes of a staging, and how they come to every node."""

from __future__ import annotations

from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interactive_dl.data.blocks import Piece, Plan, Seat, Stretch

HOSTS = st.lists(st.sampled_from("abcd"), min_size=1, max_size=9)


@given(total=st.integers(0, 500), hosts=HOSTS, block=st.integers(1, 60))
def test_every_byte_is_read_once_and_comes_to_every_node_once(
    total: int, hosts: list[str], block: int
) -> None:
    plan = Plan(total, tuple(hosts), block)
    seats = {rank: seat for rank in range(len(hosts)) if (seat := plan.seat(rank))}
    read = [byte for seat in seats.values() for byte in plan.part(seat)]
    assert sorted(read) == list(range(total))
    for node in range(len(plan.nodes)):
        came: list[int] = []
        for seat in (one for one in seats.values() if one.node == node):
            for number in range(plan.rounds):
                origins = [seat, *(plan.origin(seat, s) for s in range(1, len(plan.nodes)))]
                came += chain.from_iterable(plan.block(origin, number) for origin in origins)
        assert sorted(came) == list(range(total))


@given(total=st.integers(0, 500), hosts=HOSTS)
def test_readers_have_equally_much_to_read(total: int, hosts: list[str]) -> None:
    plan = Plan(total, tuple(hosts), 7)
    sizes = [len(plan.part(seat)) for rank in range(len(hosts)) if (seat := plan.seat(rank))]
    assert max(sizes) - min(sizes) <= 1


@given(hosts=HOSTS)
def test_what_a_rank_passes_on_is_what_the_next_of_its_lane_waits_for(hosts: list[str]) -> None:
    plan = Plan(100, tuple(hosts), 7)
    for rank in range(len(hosts)):
        if (seat := plan.seat(rank)) is None:
            continue
        to, source = plan.ring(seat)
        after, before = plan.seat(to), plan.seat(source)
        assert after is not None
        assert before is not None
        assert plan.ring(after)[1] == rank == plan.ring(before)[0]
        held = seat
        for step in range(1, len(plan.nodes)):
            assert plan.origin(after, step) == held
            held = plan.origin(seat, step)


def test_ranks_that_the_smallest_node_lacks_do_not_read() -> None:
    plan = Plan(100, ("a", "b", "a", "b", "a"), 10)
    assert plan.nodes == ((0, 2, 4), (1, 3))
    assert [plan.seat(rank) for rank in range(5)] == [
        Seat(0, 0),
        Seat(1, 0),
        Seat(0, 1),
        Seat(1, 1),
        None,
    ]
    assert [plan.first(rank) for rank in range(5)] == [0, 1, 0, 1, 0]


def test_blocks_are_cut_where_files_end_and_empty_files_have_no_bytes() -> None:
    stretch = Stretch([3, 0, 5, 2])
    assert stretch.pieces(range(10)) == [Piece(0, 0, 3), Piece(2, 0, 5), Piece(3, 0, 2)]
    assert stretch.pieces(range(2, 5)) == [Piece(0, 2, 1), Piece(2, 0, 2)]
    assert stretch.pieces(range(5, 5)) == []


@pytest.mark.parametrize(("total", "rounds"), [(0, 0), (1, 1), (40, 1), (41, 2), (81, 3)])
def test_rounds_are_as_many_as_the_largest_part_needs(total: int, rounds: int) -> None:
    assert Plan(total, ("a", "a", "b", "b"), 10).rounds == rounds
