"""Batches that other processes read: the same ones, and no process too many."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import psutil
import pytest

from interactive_dl import data
from interactive_dl.data.readers import Readers
from interactive_dl.data.reading import Reading
from interactive_dl.errors import DataError, UnreadableSourceError
from interactive_dl.science.cosmoflow import records, sources

SAMPLES = 43
TIMEOUT_S = 30


@pytest.fixture
def hdf5(tmp_path: Path) -> data.Dataset:
    with h5py.File(tmp_path / "numbers.h5", "w") as file:
        file["x"] = np.random.default_rng(0).random((SAMPLES, 5, 5), np.float32)
        file["y"] = np.arange(SAMPLES)
    return data.open(tmp_path / "numbers.h5")


@pytest.fixture
def tfrecords(tmp_path: Path) -> data.Dataset:
    volumes = np.random.default_rng(0).integers(0, 99, (SAMPLES, 64)).astype("<f8")
    features = [
        {"data_raw": one.tobytes(), "label_raw": np.float64([number]).tobytes()}
        for number, one in enumerate(volumes)
    ]
    (tmp_path / "train").mkdir()
    for part in range(3):
        records.write(tmp_path / "train" / f"{part}.tfrecord", features[part::3])
    return sources.open(tmp_path, "train")


@pytest.fixture(autouse=True)
def _no_reader_is_left() -> Iterator[None]:
    yield
    assert not readers()


def readers() -> list[psutil.Process]:
    return [
        one for one in psutil.Process().children() if "interactive_dl.data.reader" in one.cmdline()
    ]


def listed(batches: data.Batches) -> list[list[np.ndarray]]:
    return [list(batch) for batch in batches]


@pytest.mark.parametrize("kind", ["hdf5", "tfrecords"])
def test_batches_are_the_same_and_in_the_same_order(
    kind: str, request: pytest.FixtureRequest
) -> None:
    """Also where an epoch was begun before, and in another epoch, by the same processes."""
    factor = 3
    shard = request.getfixturevalue(kind).shard(seed=2)
    plain, beside = (
        shard.batch(4, readers=count).map(lambda x, y: (x * factor, y)) for count in (0, 2)
    )
    known: list[set[int]] = []
    for epoch, begun in ((0, 8), (0, 0), (3, 0)):
        for batches in (plain, beside):
            batches.begin_within(epoch, begun)
        for expected, found in zip(listed(plain), listed(beside), strict=True):
            np.testing.assert_array_equal(expected[0], found[0])
            np.testing.assert_array_equal(expected[1], found[1])
            assert [one.dtype for one in expected] == [one.dtype for one in found]
        known.append({one.pid for one in readers()})
    assert len(known[0]) == 2
    assert known[0] == known[1] == known[2]


def test_a_pass_that_is_left_takes_its_readers_along_and_the_next_has_others(
    hdf5: data.Dataset,
) -> None:
    batches = hdf5.shard(seed=2).batch(4, readers=1)
    first = iter(batches)
    expected = next(first)
    (reader,) = readers()
    del first
    assert not reader.is_running()
    np.testing.assert_array_equal(next(iter(batches))[0], expected[0])


def test_an_error_of_a_reader_rises_where_the_batch_is_due(hdf5: data.Dataset) -> None:
    def decode(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, ...]:
        if 9 in y:
            raise UnreadableSourceError("sample 9 is broken")
        return x, y

    batches = hdf5.shard(shuffle=False).batch(4, readers=2).map(decode)
    seen = []
    with pytest.raises(UnreadableSourceError, match="sample 9") as caught:
        seen.extend(y.tolist() for _, y in batches)
    assert seen == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert "in decode" in caught.value.__notes__[0]


def test_a_reader_that_cannot_begin_is_told_as_one_that_died(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "executable", shutil.which("false"))
    much = data.from_arrays(np.zeros(4_000_000), np.zeros(4_000_000))
    with pytest.raises(DataError, match=r"ended by exit code 1"):
        list(much.shard().batch(4, readers=1))


def test_what_cannot_be_shared_is_refused(hdf5: data.Dataset) -> None:
    batches = hdf5.shard().batch(4, readers=1).map(lambda x, y: (x, y.astype(object)))
    with pytest.raises(DataError, match="a batch has object"):
        listed(batches)


def test_interrupts_do_not_reach_readers_and_their_death_is_told(hdf5: data.Dataset) -> None:
    a_pass = iter(hdf5.shard(shuffle=False).batch(4, readers=1))
    next(a_pass)
    (reader,) = readers()
    reader.send_signal(signal.SIGINT)
    assert next(a_pass)[1].tolist() == [4, 5, 6, 7]
    reader.kill()
    with pytest.raises(DataError, match=rf"\(pid {reader.pid}\) ended by SIGKILL"):
        list(a_pass)


def test_batches_may_grow_and_be_empty() -> None:
    sizes = [1, 0, 400, 30_000, 5]
    pool = Readers(Reading(data.from_arrays(np.zeros(1), np.zeros(1)), _stretched), 1)
    for size, batch in zip(sizes, pool.ahead([np.full(size, 0) for size in sizes]), strict=True):
        assert [array.shape for array in batch] == [(size, 3), (size,)]
        assert (batch[0] == 7).all()
    pool.end()


def _stretched(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, ...]:
    return np.full((len(x), 3), 7), y


def test_readers_end_with_the_process_that_has_them_even_within_a_read(tmp_path: Path) -> None:
    program = """
import os, sys, time
import numpy as np
from interactive_dl import data
from interactive_dl.data.readers import Readers
from interactive_dl.data.reading import Reading

def slow(x, y):
    open(f"{folder}/{os.getpid()}", "x").close()
    time.sleep(1000)

folder = sys.argv[1]
reading = Reading(data.from_arrays(np.zeros(4), np.zeros(4)), slow)
next(Readers(reading, 2).ahead([np.arange(4)] * 4))
"""
    with subprocess.Popen([sys.executable, "-c", program, tmp_path]) as training:
        started = [psutil.Process(pid) for pid in _appearing(tmp_path, 2)]
        os.kill(training.pid, signal.SIGKILL)
        _, alive = psutil.wait_procs(started, timeout=TIMEOUT_S)
    assert not alive


def _appearing(folder: Path, count: int) -> list[int]:
    """The pids after which files are named, once there are as many."""
    waiting = psutil.Process()
    for _ in range(TIMEOUT_S * 20):
        if len(found := [int(path.name) for path in folder.iterdir()]) == count:
            return found
        psutil.wait_procs([waiting], timeout=0.05)
    raise AssertionError(f"{count} readers did not come, but {found}")


def test_fewer_than_no_readers_are_refused(hdf5: data.Dataset) -> None:
    with pytest.raises(ValueError, match="readers=-1"):
        hdf5.shard().batch(4, readers=-1)
