"""Batches in a plain loop, and the thread that reads ahead."""

import subprocess
import sys
import threading

import numpy as np
import pytest

from interactive_dl import data
from interactive_dl.data.ahead import read_ahead
from interactive_dl.errors import TooFewSamplesError


def numbers(samples: int = 20) -> data.Shard:
    return data.from_arrays(np.arange(samples), np.arange(samples)).shard(seed=1)


def reading_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("read-ahead")]


def test_this_room_loads_no_framework_before_batches_are_made() -> None:
    program = (
        "import sys; import interactive_dl; from interactive_dl import data;"
        "import numpy; data.from_arrays(numpy.zeros(4), numpy.zeros(4)).shard();"
        "print([name for name in ('keras', 'tensorflow', 'torch', 'h5py') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


def test_batches_tell_what_they_are() -> None:
    batches = numbers(21).batch(4)
    assert (batches.steps, len(batches), batches.samples, batches.batch_size) == (6, 6, 21, 4)
    assert (batches.group.rank, batches.group.size, batches.epoch) == (0, 1, 0)


def test_each_epoch_has_an_order_of_its_own_that_comes_back_with_its_number() -> None:
    batches = numbers().batch(20)
    first = batches[0][0].tolist()
    batches.set_epoch(1)
    second = batches[0][0].tolist()
    batches.set_epoch(0)
    assert batches[0][0].tolist() == first != second


def test_batches_can_be_read_in_any_order() -> None:
    batches = numbers().batch(5)
    in_order = [x.tolist() for x, _ in batches]
    assert [batches[step][0].tolist() for step in (3, 0, 2)] == [in_order[i] for i in (3, 0, 2)]


def test_a_mapped_batch_went_through_all_functions_in_turn() -> None:
    batches = numbers(4).batch(4)
    mapped = batches.map(lambda x, y: (x + 1, y)).map(lambda x, y: (x * 10, y))
    np.testing.assert_array_equal(mapped[0][0], (batches[0][0] + 1) * 10)


def test_a_batch_size_of_zero_is_refused() -> None:
    with pytest.raises(ValueError, match="batch_size=0"):
        numbers().batch(0)


def test_the_reading_thread_ends_with_the_pass() -> None:
    batches = numbers().batch(5)
    assert len(list(batches)) == 4
    assert not reading_threads()


def test_the_reading_thread_ends_with_an_abandoned_pass() -> None:
    a_pass = iter(numbers().batch(5))
    next(a_pass)
    assert reading_threads()
    del a_pass
    assert not reading_threads()


def test_a_pass_keeps_its_order_when_the_epoch_changes_under_way() -> None:
    batches = numbers().batch(5)
    a_pass = iter(batches)
    seen = [next(a_pass)[0]]
    batches.set_epoch(1)
    seen.extend(x for x, _ in a_pass)
    assert sorted(np.concatenate(seen)) == list(range(20))


def test_the_next_item_is_read_while_this_one_is_used() -> None:
    second_is_read = threading.Event()

    def read(key: int) -> int:
        if key == 2:
            second_is_read.set()
        return key * key

    items = read_ahead(read, [1, 2])
    assert next(items) == 1
    assert second_is_read.wait(timeout=10)
    assert list(items) == [4]


def test_no_more_than_one_item_is_read_ahead() -> None:
    read: list[int] = []
    items = read_ahead(lambda key: read.append(key), range(5))
    next(items)
    items.close()  # type: ignore[attr-defined]
    assert read == [0, 1]


def test_an_error_while_reading_rises_where_the_item_is_due() -> None:
    items = read_ahead(lambda key: 1 // key, [1, 0])
    assert next(items) == 1
    with pytest.raises(ZeroDivisionError):
        next(items)


def test_there_is_nothing_to_read_without_keys() -> None:
    assert list(read_ahead(str, [])) == []


def test_an_epoch_goes_on_where_it_was_left_and_the_next_ones_are_whole() -> None:
    whole = numbers(22).batch(4)
    whole.set_epoch(3)
    steps = [x.tolist() for x, _ in whole]
    resumed = numbers(22).batch(4)
    resumed.begin_within(3, whole.samples_before(3, 2))
    assert [x.tolist() for x, _ in resumed] == steps[2:]
    assert resumed[0][0].tolist() == steps[2]
    assert (resumed.steps_of(3), resumed.steps_of(4)) == (4, 6)
    whole.set_epoch(4)
    resumed.set_epoch(4)
    assert [x.tolist() for x, _ in resumed] == [x.tolist() for x, _ in whole]


def test_what_is_left_of_an_epoch_is_shared_by_other_ranks_without_a_gap() -> None:
    three = [data.from_arrays(np.arange(50), np.arange(50)) for _ in range(3)]
    seen: list[int] = []

    class Ranks:
        def __init__(self, rank: int, size: int) -> None:
            self.rank, self.size = rank, size

        def allgather(self, value: object, /) -> list[object]:
            return [value] * self.size

    for rank, dataset in enumerate(three):
        batches = dataset.shard(Ranks(rank, 3)).batch(4)
        seen += [int(n) for step in range(2) for n in batches[step][0]]
        before = batches.samples_before(0, 2)
    for rank in range(2):
        batches = three[rank].shard(Ranks(rank, 2)).batch(4)
        batches.begin_within(0, before)
        seen += [int(n) for x, _ in batches for n in x]
    assert sorted(seen) == list(range(50))


def test_samples_before_counts_on_from_where_an_epoch_was_begun() -> None:
    batches = numbers(22).batch(4)
    batches.begin_within(1, 8)
    assert [batches.samples_before(1, step) for step in range(5)] == [8, 12, 16, 20, 22]
    assert batches.samples_before(2, 1) == 4


def test_too_little_of_an_epoch_is_refused_and_nothing_has_changed() -> None:
    batches = numbers(20).batch(4)
    with pytest.raises(TooFewSamplesError, match="0 samples for 1 rank"):
        batches.begin_within(0, 20)
    assert len(list(batches)) == 5
