"""Opening files: what is found, how it is cast, and what a user is told when it is not there."""

import pickle
from pathlib import Path

import h5py
import numpy as np
import pytest

from interactive_dl import data
from interactive_dl.errors import (
    DataError,
    MissingKeyError,
    SourceNotFoundError,
    UnreadableSourceError,
)

IMAGES = np.arange(10 * 4 * 4, dtype=np.float64).reshape(10, 4, 4)
LABELS = np.arange(10, dtype=np.int64) % 2
WEIGHTS = np.linspace(0, 1, 10)


def write_rpv(path: Path, group: str = "") -> Path:
    with h5py.File(path, "a") as file:
        file[f"{group}all_events/hist"] = IMAGES
        file[f"{group}all_events/y"] = LABELS
        file[f"{group}all_events/weight"] = WEIGHTS
    return path


@pytest.fixture
def rpv(tmp_path: Path) -> Path:
    return write_rpv(tmp_path / "rpv.h5")


def test_the_arrays_of_an_rpv_file_are_found_without_being_named(rpv: Path) -> None:
    x, y = data.open(rpv).arrays()
    np.testing.assert_array_equal(x[..., 0], IMAGES)
    np.testing.assert_array_equal(y, LABELS)


def test_images_are_float32_with_a_channel_axis_and_labels_stay_integers(rpv: Path) -> None:
    x, y = data.open(rpv).arrays()
    assert (x.shape, x.dtype, y.dtype) == ((10, 4, 4, 1), np.float32, np.int64)


def test_the_channel_axis_can_be_left_out(rpv: Path) -> None:
    assert data.open(rpv, channel_axis=False).arrays()[0].shape == (10, 4, 4)


def test_float_labels_and_weights_are_float32(rpv: Path) -> None:
    y, weight = data.open(rpv, y="all_events/weight", weight="all_events/weight").arrays()[1:]
    assert (y.dtype, weight.dtype) == (np.float32, np.float32)
    np.testing.assert_allclose(weight, WEIGHTS, rtol=1e-6)


@pytest.mark.parametrize("wanted", [[3], [7, 0, 7, 2], [4, 5, 6], [], list(range(9, -1, -1))])
def test_samples_come_in_the_order_asked_for_repetitions_included(
    rpv: Path, wanted: list[int]
) -> None:
    x, y = data.open(rpv).read(np.array(wanted, dtype=np.int64))
    np.testing.assert_array_equal(x[..., 0], IMAGES[wanted])
    np.testing.assert_array_equal(y, LABELS[wanted])


@pytest.mark.parametrize("wanted", [[3], [7, 0, 7, 2], [4, 5, 6]])
def test_only_the_rows_asked_for_are_read_from_an_hdf5_file(
    rpv: Path, wanted: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, rows_read = data.open(rpv), []
    read = h5py.Dataset.__getitem__

    def counting(dataset: h5py.Dataset, rows: object) -> np.ndarray:
        rows_read.append(len(part := read(dataset, rows)))
        return part

    len(opened)  # opens the file
    monkeypatch.setattr(h5py.Dataset, "__getitem__", counting)
    opened.read(np.array(wanted, dtype=np.int64))
    assert rows_read == [len(set(wanted))] * 2


def test_a_split_is_a_file_of_a_folder(tmp_path: Path) -> None:
    write_rpv(tmp_path / "train.h5")
    np.savez(tmp_path / "val.npz", x=IMAGES[:4], y=LABELS[:4])
    assert len(data.open(tmp_path, "train")) == 10
    assert len(data.open(tmp_path, "val")) == 4


def test_a_split_is_a_group_of_an_hdf5_file(tmp_path: Path) -> None:
    path = write_rpv(tmp_path / "rpv.h5", "train/")
    with h5py.File(path, "a") as file:
        file["val/x"], file["val/y"] = IMAGES[:3], LABELS[:3]
    assert len(data.open(path, "train")) == 10
    assert len(data.open(path, "val")) == 3


def test_a_split_is_the_end_of_the_names_in_an_npz_file(tmp_path: Path) -> None:
    path = tmp_path / "mnist.npz"
    np.savez(path, x_train=IMAGES, y_train=LABELS, x_test=IMAGES[:2], y_test=LABELS[:2])
    assert len(data.open(path, "train")) == 10
    np.testing.assert_array_equal(data.open(path, "test").arrays()[1], LABELS[:2])


def test_arrays_of_other_names_can_be_chosen(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "cells.h5", "w") as file:
        file["deep/er/image"], file["kind"] = IMAGES, LABELS
    opened = data.open(tmp_path / "cells.h5", x="deep/er/image", y="kind")
    np.testing.assert_array_equal(opened.arrays()[1], LABELS)


def test_nothing_is_opened_before_it_is_used(tmp_path: Path) -> None:
    opened = data.open(tmp_path / "later.h5")
    write_rpv(tmp_path / "later.h5")
    assert len(opened) == 10


def test_an_opened_file_is_opened_anew_after_pickling(rpv: Path) -> None:
    opened = data.open(rpv)
    opened.read(np.array([0]))
    copy = pickle.loads(pickle.dumps(opened))
    np.testing.assert_array_equal(copy.arrays()[1], LABELS)


def test_cached_samples_are_read_from_their_source_once() -> None:
    reads: list[int] = []

    class Counting:
        def __len__(self) -> int:
            return 10

        def read(self, indices: np.ndarray, /) -> tuple[np.ndarray, ...]:
            reads.append(len(indices))
            return IMAGES[indices], LABELS[indices]

    cached = data.Dataset(Counting()).cached()
    assert len(cached) == 10
    after_opening = len(reads)
    for _ in range(3):
        np.testing.assert_array_equal(cached.arrays()[1], LABELS)
    assert len(reads) == after_opening


def test_data_beyond_the_limit_is_not_cached(rpv: Path) -> None:
    with pytest.raises(DataError, match=r"limit_gib=1e-07.*cached\(limit_gib="):
        len(data.open(rpv).cached(limit_gib=1e-7))


def test_what_is_too_large_to_be_cached_is_read_from_its_file(rpv: Path) -> None:
    opened = data.open(rpv)
    large, small = opened.cached_if_small(limit_gib=1e-7), opened.cached_if_small()
    for samples in (large, small):
        np.testing.assert_array_equal(samples.arrays()[1], LABELS)
    rpv.unlink()
    np.testing.assert_array_equal(small.arrays()[1], LABELS)
    assert large.source == opened.source


def test_a_missing_file_is_answered_with_those_that_are_there(rpv: Path) -> None:
    with pytest.raises(SourceNotFoundError, match=r"no file or folder .*none\.h5.* has: rpv\.h5"):
        len(data.open(rpv.parent / "none.h5"))


def test_a_missing_split_is_answered_with_those_that_are_there(rpv: Path) -> None:
    with pytest.raises(SourceNotFoundError, match=r"no test\.h5 or test\.npz in .* has: rpv\.h5"):
        len(data.open(rpv.parent, "test"))


def test_a_folder_without_a_split_is_answered_with_the_call_to_make(rpv: Path) -> None:
    with pytest.raises(MissingKeyError, match=r'split="train"'):
        len(data.open(rpv.parent))


def test_a_wrong_key_is_answered_with_the_keys_that_exist(rpv: Path) -> None:
    with pytest.raises(
        MissingKeyError, match=r"no array 'label'.*all_events/hist, all_events/weig"
    ):
        len(data.open(rpv, y="label"))


def test_a_split_that_is_no_group_is_answered_with_the_keys_that_exist(rpv: Path) -> None:
    with pytest.raises(MissingKeyError, match=r"no array 'val/.*It has: all_events/hist"):
        len(data.open(rpv, "val"))


@pytest.mark.parametrize("name", ["torn.h5", "torn.npz"])
def test_a_corrupt_file_is_called_unreadable(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"\x89HDF\r\n\x1a\n cut off")
    with pytest.raises(UnreadableSourceError, match=f"{name} cannot be read"):
        len(data.open(tmp_path / name))


def test_a_truncated_npz_is_called_unreadable(tmp_path: Path) -> None:
    np.savez(tmp_path / "whole.npz", x=IMAGES, y=LABELS)
    torn = tmp_path / "torn.npz"
    torn.write_bytes((tmp_path / "whole.npz").read_bytes()[:-200])
    with pytest.raises(UnreadableSourceError, match="cannot be read"):
        len(data.open(torn))


def test_x_and_y_of_different_lengths_are_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "odd.h5", "w") as file:
        file["x"], file["y"] = IMAGES, LABELS[:7]
    with pytest.raises(UnreadableSourceError, match=r"odd\.h5 has x: 10, y: 7 samples"):
        len(data.open(tmp_path / "odd.h5"))


def test_arrays_in_memory_of_different_lengths_are_refused() -> None:
    with pytest.raises(UnreadableSourceError, match="x: 10, y: 3"):
        data.from_arrays(IMAGES, LABELS[:3])


def test_weights_in_memory_come_third() -> None:
    assert len(data.from_arrays(IMAGES, LABELS, WEIGHTS).read(np.array([1, 2]))) == 3
