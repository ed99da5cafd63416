"""What several ranks make of one data set: one outcome for all, and nobody left waiting."""

from pathlib import Path

import numpy as np
import pytest

from interactive_dl import data
from interactive_dl.errors import (
    DataError,
    MissingKeyError,
    SourceNotFoundError,
    SourcesDifferError,
    TooFewSamplesError,
)
from interactive_dl.testing import ThreadRank, ThreadRanks


def numbers(samples: int) -> data.Dataset:
    return data.from_arrays(np.arange(samples), np.zeros(samples))


def write(path: Path, samples: int) -> Path:
    np.savez(path, x=np.arange(samples), y=np.zeros(samples))
    return path


def test_a_file_missing_on_one_rank_is_the_same_error_on_every_rank(tmp_path: Path) -> None:
    path = write(tmp_path / "numbers.npz", 20)

    def program(group: ThreadRank) -> data.Shard:
        mine = path if group.rank != 2 else tmp_path / "absent.npz"
        return data.open(mine).shard(group)

    outcomes = ThreadRanks(4).outcomes(program)
    assert {type(outcome) for outcome in outcomes} == {SourceNotFoundError}
    assert len({str(outcome) for outcome in outcomes}) == 1
    assert "1 of 4 cannot:\n  rank 2: There is no file or folder" in str(outcomes[0])


def test_a_file_missing_on_all_ranks_is_told_once(tmp_path: Path) -> None:
    outcomes = ThreadRanks(3).outcomes(lambda group: data.open(tmp_path / "no.h5").shard(group))
    assert all(isinstance(outcome, SourceNotFoundError) for outcome in outcomes)
    assert str(outcomes[0]).count("There is no file or folder") == 1


def test_different_errors_are_all_told(tmp_path: Path) -> None:
    path = write(tmp_path / "numbers.npz", 20)

    def program(group: ThreadRank) -> data.Shard:
        return (data.open(path, y="label") if group.rank else data.open("no.h5")).shard(group)

    outcomes = ThreadRanks(2).outcomes(program)
    assert [type(outcome) for outcome in outcomes] == [DataError, DataError]
    assert "rank 0: There is no file" in str(outcomes[0])
    assert "rank 1: " in str(outcomes[0])


def test_a_rank_that_fails_in_an_unforeseen_way_does_not_leave_the_others_waiting() -> None:
    class Failing:
        def __len__(self) -> int:
            raise MemoryError("no room")

        def read(self, indices: np.ndarray, /) -> tuple[np.ndarray, ...]:
            raise AssertionError("never read")

    def program(group: ThreadRank) -> data.Shard:
        opened = data.Dataset(Failing()) if group.rank == 1 else numbers(20)
        return opened.shard(group)

    outcomes = ThreadRanks(3).outcomes(program)
    assert {type(outcome) for outcome in outcomes} == {DataError}
    assert "rank 1: MemoryError: no room" in str(outcomes[0])


def test_a_wrong_key_is_the_same_error_on_every_rank(tmp_path: Path) -> None:
    path = write(tmp_path / "numbers.npz", 20)
    outcomes = ThreadRanks(3).outcomes(lambda group: data.open(path, x="pixels").shard(group))
    assert {type(outcome) for outcome in outcomes} == {MissingKeyError}


def test_files_that_differ_between_ranks_are_refused_with_their_lengths() -> None:
    outcomes = ThreadRanks(3).outcomes(lambda group: numbers(20 + group.rank // 2).shard(group))
    assert {type(outcome) for outcome in outcomes} == {SourcesDifferError}
    assert "number of samples, but got rank 0: 20, rank 1: 20, rank 2: 21" in str(outcomes[0])


def test_ranks_with_different_seeds_are_refused() -> None:
    outcomes = ThreadRanks(2).outcomes(lambda group: numbers(20).shard(group, seed=group.rank))
    assert {type(outcome) for outcome in outcomes} == {SourcesDifferError}
    assert "same seed" in str(outcomes[0])


def test_too_few_samples_are_refused_on_every_rank() -> None:
    outcomes = ThreadRanks(4).outcomes(lambda group: numbers(3).shard(group))
    assert {type(outcome) for outcome in outcomes} == {TooFewSamplesError}
    assert "3 samples for 4 ranks" in str(outcomes[0])


def test_the_shards_of_all_ranks_make_up_every_epoch() -> None:
    def program(group: ThreadRank) -> list[list[int]]:
        batches = numbers(50).shard(group, seed=3).batch(6)
        epochs = []
        for epoch in range(3):
            batches.set_epoch(epoch)
            epochs.append([int(value) for x, _ in batches for value in x])
        return epochs

    by_rank = ThreadRanks(4).run(program)
    for epoch in range(3):
        taken = [value for epochs in by_rank for value in epochs[epoch]]
        assert sorted(taken) == list(range(50))
    assert by_rank[0][0] != by_rank[0][1]


def test_every_rank_has_the_same_number_of_batches() -> None:
    lengths = ThreadRanks(4).run(lambda group: len(numbers(50).shard(group).batch(6)))
    assert lengths == [2, 2, 2, 2]


def test_a_single_process_needs_no_group() -> None:
    with pytest.raises(TooFewSamplesError):
        numbers(0).shard()
    assert numbers(7).shard().samples == 7
