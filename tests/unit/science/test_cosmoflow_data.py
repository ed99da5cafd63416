"""CosmoFlow's samples: reproducible one by one, cut out of universes, in the originals' files."""

from __future__ import annotations

import gzip
import pickle
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interactive_dl import data
from interactive_dl.errors import SourceNotFoundError, UnreadableSourceError
from interactive_dl.science import cosmoflow
from interactive_dl.science.cosmoflow import LAPTOP, records
from interactive_dl.science.cosmoflow.augmentation import Turned
from interactive_dl.science.cosmoflow.data import cut, from_units, to_units
from interactive_dl.science.splits import SPLIT_START

TINY = replace(LAPTOP, box=64.0, particles=8, cells=8, side=8, train=5, val=3, test=2)
CUT = replace(TINY, side=4, redshifts=(0.0, 0.5, 1.5, 3.0))
ONE_CHANNEL = replace(TINY, variant="cmu", train=70)


def test_every_particle_is_counted_once() -> None:
    volumes = cosmoflow.generate(TINY, 3)
    assert (volumes.counts.shape, volumes.counts.dtype) == ((3, 8, 8, 8, 1), np.int16)
    assert (volumes.counts.sum(axis=(1, 2, 3, 4)) == 8**3).all()


@pytest.mark.parametrize("config", [TINY, CUT], ids=["whole", "cut"])
def test_a_share_of_the_samples_is_the_same_wherever_it_is_generated(config) -> None:
    whole = cosmoflow.generate(config, 20, seed=3)
    end = cosmoflow.generate(config, 7, seed=3, start=13)
    np.testing.assert_array_equal(whole.counts[13:], end.counts)
    np.testing.assert_array_equal(whole.parameters[13:], end.parameters)


def test_other_seeds_give_other_universes() -> None:
    one, other = cosmoflow.generate(TINY, 2, seed=1), cosmoflow.generate(TINY, 2, seed=2)
    assert not np.array_equal(one.counts, other.counts)
    assert not np.array_equal(one.parameters, other.parameters)


def test_the_samples_of_a_universe_fill_it_and_share_its_parameters() -> None:
    universe, parameters = cosmoflow.simulate(CUT, np.random.default_rng((0, 0)))
    samples = cosmoflow.generate(CUT, 8)
    np.testing.assert_array_equal(samples.counts, np.stack(list(cut(universe, 4))))
    assert (samples.parameters == parameters).all()
    assert (samples.counts.sum(axis=(0, 1, 2, 3)) == 8**3).all()


def test_channels_are_the_same_universe_at_later_and_earlier_times() -> None:
    contrast = cosmoflow.generate(replace(CUT, side=8), 4).counts.std(axis=(0, 1, 2, 3))
    assert list(contrast) == sorted(contrast, reverse=True)


def test_parameters_fill_their_ranges() -> None:
    parameters = cosmoflow.generate(replace(TINY, particles=4, cells=4, side=4), 400).parameters
    for target, values in zip(TINY.targets, parameters.T, strict=True):
        assert target.low <= values.min() < target.low + 0.05 * (target.high - target.low)
        assert target.high >= values.max() > target.high - 0.05 * (target.high - target.low)
        assert values.mean() == pytest.approx(target.mean, abs=0.2 * target.deviation)
        assert values.std() == pytest.approx(target.deviation, rel=0.1)


def test_units_go_from_minus_one_to_one() -> None:
    low, high = ([getattr(target, end) for target in TINY.targets] for end in ("low", "high"))
    np.testing.assert_allclose(to_units(np.array([low, high]), TINY), [[-1, -1], [1, 1]])
    np.testing.assert_allclose(from_units(np.array([[-1, -1], [1, 1]]), TINY), [low, high])


def test_samples_must_fill_their_universe() -> None:
    with pytest.raises(ValueError, match=r"cells % side == 0.*\(cells=8, side=3\)"):
        replace(TINY, side=3)


@given(st.integers(0, 2**32), st.booleans())
@settings(max_examples=30)
def test_another_view_has_the_same_matter(seed: int, is_periodic: bool) -> None:
    x = np.random.default_rng(0).poisson(3, (4, 4, 4, 4, 2)).astype(np.float32)
    y = np.arange(4)
    seen, same_y = Turned(seed, is_periodic)(x, y)
    assert same_y is y
    np.testing.assert_array_equal(np.sort(seen, axis=None), np.sort(x, axis=None))
    np.testing.assert_array_equal(seen.sum(axis=(1, 2, 3)), x.sum(axis=(1, 2, 3)))
    if not is_periodic:
        corners = x[:, ::3, ::3, ::3].reshape(4, -1), seen[:, ::3, ::3, ::3].reshape(4, -1)
        np.testing.assert_array_equal(np.sort(corners[0]), np.sort(corners[1]))


def test_views_of_samples_in_a_batch_differ() -> None:
    x = np.broadcast_to(np.arange(64.0).reshape(1, 4, 4, 4, 1), (20, 4, 4, 4, 1))
    seen, _ = Turned(0, is_periodic=False)(x, np.zeros(20))
    assert len({view.tobytes() for view in seen}) > 10


@pytest.mark.parametrize("config", [TINY, ONE_CHANNEL], ids=["mlperf", "cmu"])
def test_written_splits_are_opened_by_name_and_share_no_sample(tmp_path: Path, config) -> None:
    cosmoflow.write_splits(config, tmp_path)
    volumes = set()
    for split in ("train", "val", "test"):
        count = getattr(config, split)
        x, y = cosmoflow.open(tmp_path, split).arrays()
        expected = cosmoflow.generate(config, count, start=SPLIT_START[split])
        np.testing.assert_array_equal(x, expected.counts)
        is_units = config.variant == "mlperf"
        truth = to_units(expected.parameters, config) if is_units else expected.parameters
        np.testing.assert_allclose(y, truth, rtol=1e-6)
        volumes |= {volume.tobytes() for volume in x}
    assert len(volumes) == config.train + config.val + config.test


def test_samples_are_read_in_the_order_asked_for(tmp_path: Path) -> None:
    opened = cosmoflow.open(cosmoflow.write_splits(ONE_CHANNEL, tmp_path), "train")
    x, y = opened.arrays()
    some = np.array([66, 2, 2, 69])
    np.testing.assert_array_equal(opened.read(some)[0], x[some])
    np.testing.assert_array_equal(opened.read(some)[1], y[some])


def test_mlperf_files_are_read_by_tensorflow_as_by_us(tmp_path: Path) -> None:
    tf = pytest.importorskip("tensorflow")
    folder = cosmoflow.write_splits(TINY, tmp_path) / "train"
    files = sorted(map(str, folder.iterdir()))
    spec = {"x": tf.io.FixedLenFeature([], tf.string), "y": tf.io.FixedLenFeature([2], tf.float32)}
    x, y = cosmoflow.open(tmp_path, "train").arrays()
    for index, message in enumerate(tf.data.TFRecordDataset(files)):
        example = tf.io.parse_single_example(message, spec)
        counts = tf.reshape(tf.io.decode_raw(example["x"], tf.int16), (8, 8, 8, 1))
        np.testing.assert_array_equal(counts, x[index])
        np.testing.assert_allclose(example["y"], y[index])


@pytest.mark.parametrize("compression", ["", "GZIP"])
@pytest.mark.parametrize("kind", ["int16", "floats"])
def test_files_that_tensorflow_wrote_are_read(tmp_path: Path, compression: str, kind: str) -> None:
    tf = pytest.importorskip("tensorflow")
    counts = np.random.default_rng(0).poisson(2, (3, 4, 4, 4, 4)).astype(np.int16)
    units = np.array([[0.5, -1, 0.25, 1]] * 3, np.float32)
    (tmp_path / "validation").mkdir()
    for index in range(3):
        x = (
            tf.train.Feature(bytes_list=tf.train.BytesList(value=[counts[index].tobytes()]))
            if kind == "int16"
            else tf.train.Feature(float_list=tf.train.FloatList(value=counts[index].ravel()))
        )
        y = tf.train.Feature(float_list=tf.train.FloatList(value=units[index]))
        example = tf.train.Example(features=tf.train.Features(feature={"x": x, "y": y}))
        with tf.io.TFRecordWriter(
            str(tmp_path / "validation" / f"{index}.tfrecord"), compression
        ) as writer:
            writer.write(example.SerializeToString())
    x, y = cosmoflow.open(tmp_path, "val").arrays()
    np.testing.assert_array_equal(x, counts)
    np.testing.assert_array_equal(y, units)


def test_universes_of_mlperf_are_cut_into_samples(tmp_path: Path) -> None:
    universes = [
        cosmoflow.simulate(CUT, np.random.default_rng((0, number)))[0] for number in (0, 1)
    ]
    (tmp_path / "train").mkdir()
    for number, universe in enumerate(universes):
        with h5py.File(tmp_path / "train" / f"{number}.hdf5", "w") as file:
            file["full"] = universe
            file["unitPar"] = np.full(4, number)
    source = cosmoflow.UniverseSource(tmp_path / "train", side=4)
    x, y = source.read(np.array([9, 0, 15]))
    assert len(source) == 16
    expected = [*cut(universes[0], 4), *cut(universes[1], 4)]
    np.testing.assert_array_equal(x, np.stack([expected[index] for index in (9, 0, 15)]))
    np.testing.assert_array_equal(y[:, 0], [1, 0, 1])
    with pytest.raises(UnreadableSourceError, match="Samples of 128 cells.*have 8"):
        len(cosmoflow.open(tmp_path, "train"))


def test_hdf5_files_with_x_and_y_are_read(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "train.h5", "w") as file:
        file["x"], file["y"] = np.ones((2, 4, 4, 4, 4), np.int16), np.zeros((2, 4))
    assert cosmoflow.open(tmp_path, "train").arrays()[0].shape == (2, 4, 4, 4, 4)


def test_a_folder_without_samples_is_told_at_first_use(tmp_path: Path) -> None:
    opened = cosmoflow.open(tmp_path, "train")
    with pytest.raises(SourceNotFoundError):
        len(opened)


def test_a_file_that_was_cut_short_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.tfrecord"
    records.write(path, [{"x": b"12345678"}] * 3)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(UnreadableSourceError, match=r"a.tfrecord ends within number 3"):
        records.positions(path)


def test_a_record_of_something_else_is_told(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    records.write(tmp_path / "train" / "a.tfrecord", [{"image": b"1"}])
    with pytest.raises(UnreadableSourceError, match="must have x and y.*KeyError"):
        cosmoflow.open(tmp_path, "train").arrays()


@pytest.mark.parametrize(
    ("content", "check"),
    [(b"123456789", 0xE3069283), (bytes(32), 0x8A9136AA), (b"\xff" * 32, 0x62A8AB43)],
)
def test_the_check_is_castagnolis(content: bytes, check: int) -> None:
    assert records.crc32c(content) == check


@given(st.binary(min_size=4, max_size=300), st.integers(0, 7))
def test_the_check_sees_every_bit(content: bytes, bit: int) -> None:
    for at in {0, len(content) // 2, len(content) - 1}:
        flipped = bytearray(content)
        flipped[at] ^= 1 << bit
        assert records.crc32c(bytes(flipped)) != records.crc32c(content)


@given(
    st.dictionaries(
        st.text(max_size=5),
        st.binary(max_size=400)
        | st.lists(st.floats(width=32, allow_nan=False), max_size=9).map(
            lambda values: np.array(values, np.float32)
        ),
        min_size=1,
        max_size=4,
    )
)
def test_messages_come_back_as_they_were(features: dict) -> None:
    back = records.decode(records.encode(features))
    assert set(back) == set(features)
    for name, value in features.items():
        np.testing.assert_array_equal(np.array(back[name]), np.array(value))


def test_a_compressed_file_gives_its_record(tmp_path: Path) -> None:
    plain, packed = tmp_path / "a.tfrecord", tmp_path / "b.tfrecord"
    records.write(plain, [{"x": b"12345678"}])
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    assert records.read(packed) == records.read(plain) == {"x": b"12345678"}


def test_a_dataset_of_records_can_be_sent_to_engines(tmp_path: Path) -> None:
    opened = cosmoflow.open(cosmoflow.write_splits(TINY, tmp_path), "val")
    again: data.Dataset = pickle.loads(pickle.dumps(opened))
    np.testing.assert_array_equal(again.arrays()[0], opened.arrays()[0])
