"""RPV events: reproducible sample by sample, written in the published layout."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from interactive_dl import data
from interactive_dl.science import rpv
from interactive_dl.science.definition import Constant
from interactive_dl.science.rpv.case import CASE


@pytest.mark.parametrize("size", [32, 64])
def test_images_are_square_and_never_negative(size: int) -> None:
    events = rpv.generate(20, size=size)
    assert (events.hist.shape, events.hist.dtype) == ((20, size, size), np.float32)
    assert events.hist.min() == 0
    assert 0.8 < events.hist.max() < 2


def test_a_share_of_the_events_is_the_same_wherever_it_is_generated() -> None:
    whole, second_half = rpv.generate(20, seed=3), rpv.generate(10, seed=3, start=10)
    np.testing.assert_array_equal(whole.hist[10:], second_half.hist)
    np.testing.assert_array_equal(whole.y[10:], second_half.y)
    np.testing.assert_array_equal(whole.passes_cuts[10:], second_half.passes_cuts)


def test_other_seeds_give_other_events() -> None:
    assert not np.array_equal(rpv.generate(5, seed=1).hist, rpv.generate(5, seed=2).hist)


def test_half_of_the_events_are_signal(jets) -> None:
    assert jets.train.y.mean() == pytest.approx(0.5, abs=0.03)


def test_the_weights_of_each_kind_add_up_to_the_expected_events() -> None:
    events = rpv.generate(40)
    assert events.weight[events.y == 1].sum() == pytest.approx(14.36 * 100, rel=1e-4)
    assert events.weight[events.y == 0].sum() == pytest.approx(117.3 * 100, rel=1e-4)


def test_cuts_prefer_signal(jets) -> None:
    cuts, is_signal = jets.train.passes_cuts, jets.train.y == 1
    assert cuts[is_signal].mean() > 1.2 * cuts[~is_signal].mean()


def test_a_file_has_the_published_layout(tmp_path: Path) -> None:
    path = rpv.write_hdf5(tmp_path / "new" / "jets.h5", 12, size=16, seed=4)
    with h5py.File(path) as file:
        shapes = {name: dataset.shape for name, dataset in file["all_events"].items()}
        images = file["all_events/hist"][:]
    assert shapes == {"hist": (12, 16, 16), "y": (12,), "weight": (12,), "passSR": (12,)}
    np.testing.assert_array_equal(images, rpv.generate(12, size=16, seed=4).hist)


def test_writing_leaves_nothing_but_the_file(tmp_path: Path) -> None:
    rpv.write_hdf5(tmp_path / "jets.h5", 4, size=8)
    assert [path.name for path in tmp_path.iterdir()] == ["jets.h5"]


def test_an_interrupted_writing_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = rpv.write_hdf5(tmp_path / "jets.h5", 4, size=8)
    before = path.read_bytes()

    def interrupted(*args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(h5py.Group, "create_group", interrupted)
    with pytest.raises(KeyboardInterrupt):
        rpv.write_hdf5(path, 5, size=8)
    assert path.read_bytes() == before
    assert [left.name for left in tmp_path.iterdir()] == ["jets.h5"]


def test_written_splits_are_opened_by_name_and_share_no_event(tmp_path: Path) -> None:
    folder = rpv.write_splits(tmp_path / "rpv", train=9, val=4, test=3, size=8)
    opened = {split: data.open(folder, split) for split in ("train", "val", "test")}
    assert {split: len(each) for split, each in opened.items()} == {"train": 9, "val": 4, "test": 3}
    images = {each.tobytes() for split in opened.values() for each in split.arrays()[0]}
    assert len(images) == 16


def test_files_that_do_not_say_what_the_cuts_accept_are_judged_without(tmp_path: Path) -> None:
    rpv.write_splits(tmp_path, train=2, val=2, test=20)
    with h5py.File(tmp_path / "test.h5", "a") as file:
        del file["all_events/passSR"]
    metrics = CASE.score(Constant(np.array([0.5])), CASE.config("laptop"), tmp_path)
    assert metrics["auc"] == 0.5
    assert np.isnan(metrics["gain"])


def test_the_events_of_a_split_do_not_depend_on_the_sizes_of_the_others(tmp_path: Path) -> None:
    small = rpv.write_splits(tmp_path / "a", train=2, val=3, test=1, size=8)
    large = rpv.write_splits(tmp_path / "b", train=5, val=3, test=2, size=8)
    for ours, theirs in zip(
        data.open(small, "val").arrays(), data.open(large, "val").arrays(), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)
