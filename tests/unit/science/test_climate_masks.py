"""Climate masks: frames, files, losses and both IoUs; networks of the published size."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf
from sklearn.linear_model import LogisticRegression

from interactive_dl.errors import SourceNotFoundError, UnreadableSourceError
from interactive_dl.science.climate_masks import losses, metric
from interactive_dl.science.climate_masks.case import CASE, loss
from interactive_dl.science.climate_masks.config import (
    LAPTOP,
    LAPTOP_DEEPLAB,
    MLPERF_FREQUENCIES,
    PAPER_FREQUENCIES,
    Config,
)
from interactive_dl.science.climate_masks.data import (
    STATS,
    FrameSource,
    generate,
    open,
    write,
)
from interactive_dl.science.climate_masks.frames import BACKGROUND, CYCLONE, RIVER
from interactive_dl.science.definition import Constant, commonest, missed
from interactive_dl.science.splits import SPLIT_START

SMALL = replace(LAPTOP, height=32, width=48, train=4, val=1, test=2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of a few small frames."""
    folder = tmp_path_factory.mktemp("climate")
    write(SMALL, folder, 0)
    return folder


def test_a_frame_depends_on_its_number_and_the_seed_alone() -> None:
    one = generate(SMALL, 7, seed=3)
    np.testing.assert_array_equal(one.data, generate(replace(SMALL, train=99), 7, seed=3).data)
    assert (one.data != generate(SMALL, 8, seed=3).data).any()
    assert (one.data != generate(SMALL, 7, seed=4).data).any()


def test_the_frames_of_a_seed_are_those_that_the_gate_was_measured_with() -> None:
    """Whoever changes the generator raises ``CASE.generator`` and measures the gate again."""
    frame = generate(LAPTOP, 0)
    assert CASE.generator == 1
    assert np.bincount(frame.labels.reshape(-1)).tolist() == [5898, 30, 216]
    np.testing.assert_allclose(
        frame.data.mean(axis=(0, 1))[[0, 1, 3]], [15.666, 3.6285, 100453.0], rtol=1e-4
    )


def test_a_cyclone_turns_with_its_hemisphere_around_a_deep_and_warm_core() -> None:
    turning, depth, warmth = [], [], []
    for number in range(20):
        frame = generate(replace(LAPTOP, channels=8), number)
        _, u, v, pressure, warm, *_ = np.moveaxis(frame.data, -1, 0)
        is_in = frame.labels == CYCLONE
        is_out = frame.labels == BACKGROUND
        north = is_in & (np.arange(64) < 32)[:, np.newaxis]
        vorticity = np.gradient(v, axis=1) + np.gradient(u, axis=0)
        if north.any():
            turning.append(vorticity[north].mean())
        if (is_in & ~north).any():
            turning.append(-vorticity[is_in & ~north].mean())
        depth.append(pressure[is_out].mean() - pressure[is_in].mean())
        warmth.append(warm[is_in].mean() - warm[is_out].mean())
    assert np.mean(turning) > 2
    assert np.mean(depth) > 500
    assert np.mean(warmth) > 1


def test_a_river_is_moist_and_windy() -> None:
    moisture, wind = [], []
    for number in range(20):
        frame = generate(LAPTOP, number)
        is_in = frame.labels == RIVER
        rows = is_in.any(axis=1)
        beside = (frame.labels == BACKGROUND) & rows[:, np.newaxis]
        moisture.append(frame.data[is_in, 0].mean() - frame.data[beside, 0].mean())
        wind.append(frame.data[is_in, 1].mean() - frame.data[beside, 1].mean())
    assert np.mean(moisture) > 8
    assert np.mean(wind) > 5


def test_single_pixels_do_not_give_the_answer_away() -> None:
    frames = [generate(LAPTOP, number) for number in range(16)]
    x = np.stack([frame.data for frame in frames]).reshape(16, -1, 8).astype(np.float64)
    x = (x - x.mean(axis=(0, 1))) / x.std(axis=(0, 1))
    x = np.concatenate([x, x**2], axis=-1)
    y = np.stack([frame.labels for frame in frames])
    weights = np.asarray(losses.root_weights(LAPTOP.frequencies))
    train, truth = x[:12].reshape(-1, 16)[::3], y[:12].reshape(-1)[::3]
    model = LogisticRegression(max_iter=100, tol=1e-2).fit(train, truth, weights[truth])
    predicted = model.predict(x[12:].reshape(-1, 16)).reshape(y[12:].shape)
    assert metric.score(y[12:], predicted)["iou"] < 0.5


def test_files_have_the_originals_layout(folder: Path) -> None:
    frame = generate(SMALL, 2)
    with h5py.File(folder / "train" / "data-000002.h5") as file:
        np.testing.assert_array_equal(file["climate/data"][:], frame.data)
        np.testing.assert_array_equal(file["climate/labels_0"][:], frame.labels)
    every = np.stack([generate(SMALL, number).data for number in range(4)])
    expected = [getattr(every, of)(axis=(0, 1, 2)) for of in ("mean", "max", "min", "std")]
    with h5py.File(folder / STATS) as file:
        np.testing.assert_allclose(file["climate/stats"][:].T, expected, rtol=1e-3, atol=1e-3)


def test_what_is_written_is_read_with_its_channels_between_0_and_1(folder: Path) -> None:
    x, y = open(folder, "train").arrays()
    assert (x.shape, y.shape, y.dtype) == ((4, 32, 48, 8), (4, 32, 48), np.uint8)
    every = np.stack([generate(SMALL, number).data for number in range(4)])
    least, range_ = every.min(axis=(0, 1, 2)), np.ptp(every, axis=(0, 1, 2))
    np.testing.assert_allclose(x, (every - least) / range_, atol=1e-4)
    np.testing.assert_array_equal(y[3], generate(SMALL, 3).labels)
    two, _ = open(folder, "train").read(np.array([3, 1]))
    np.testing.assert_array_equal(two, x[[3, 1]])


def test_each_split_has_frames_of_its_own(folder: Path) -> None:
    for split, frames in {"train": 4, "val": 1, "test": 2}.items():
        _, labels = open(folder, split).arrays()
        assert len(labels) == frames
        expected = generate(SMALL, SPLIT_START[split] + frames - 1).labels
        np.testing.assert_array_equal(labels[-1], expected)
    assert len(set(SPLIT_START.values())) == 3


def original(file: Path, **arrays: np.ndarray | list[int]) -> None:
    with h5py.File(file, "w") as opened:
        for name, array in arrays.items():
            opened[f"climate/{name}"] = array


def test_the_originals_files_are_read(tmp_path: Path) -> None:
    (tmp_path / "val").mkdir()
    channels = np.arange(2 * 3 * 2, dtype=np.float32).reshape(2, 3, 2)
    sets_of_labels = np.array([[[0, 1, 2], [2, 1, 0]], [[0, 0, 0], [0, 0, 0]]], np.int64)
    original(tmp_path / "val" / "data-1996-01-01.h5", data=channels, labels=sets_of_labels)
    original(tmp_path / STATS, minval=np.array([0.0, 1.0]), maxval=np.array([10.0, 6.0]))
    x, y = open(tmp_path, "val").arrays()
    np.testing.assert_allclose(x[0, 1, 2], [10 / 10, (11 - 1) / 5])
    np.testing.assert_array_equal(y[0], sets_of_labels[0])


def test_files_with_some_of_the_channels_take_their_ranges(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    arrays = {"data": np.full((1, 1, 2), 6.0), "labels_0": np.zeros((1, 1)), "channels": [1, 3]}
    original(tmp_path / "train" / "data-0.h5", **arrays)
    maximum = np.array([1.0, 10, 1, 8])
    original(tmp_path / STATS, minval=np.array([0.0, 2, 0, 4]), maxval=maximum)
    np.testing.assert_allclose(open(tmp_path, "train").arrays()[0], [[[[0.5, 0.5]]]])
    original(tmp_path / STATS, minval=np.array([2.0, 4]), maxval=maximum[[1, 3]])
    np.testing.assert_allclose(open(tmp_path, "train").arrays()[0], [[[[0.5, 0.5]]]])


def test_frames_travel_to_other_processes_as_their_folder(folder: Path) -> None:
    source = FrameSource(folder / "test")
    len(source)
    again = pickle.loads(pickle.dumps(source))
    np.testing.assert_array_equal(again.read(np.array([1]))[0], source.read(np.array([1]))[0])


def test_what_is_missing_is_said(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(SourceNotFoundError, match=r"no \*data\*.h5 in .*/train"):
        len(open(tmp_path, "train"))
    (tmp_path / "train").mkdir()
    original(tmp_path / "train" / "data-0.h5", data=np.zeros((2, 2, 1)), mask=np.zeros((2, 2)))
    with pytest.raises(UnreadableSourceError, match="climate/labels_0, but has data, mask"):
        open(tmp_path, "train").arrays()
    original(tmp_path / "train" / "data-0.h5", data=np.zeros((2, 2, 1)), labels=np.zeros((2, 2)))
    with pytest.raises(SourceNotFoundError, match=r"must be in .*train/stats.h5 or .*stats.h5"):
        open(tmp_path, "train").arrays()
    original(tmp_path / STATS, mean=np.zeros(1))
    with pytest.raises(UnreadableSourceError, match="climate/minval and .*, but has mean"):
        open(tmp_path, "train").arrays()
    (tmp_path / "train" / "data-0.h5").write_bytes(b"half")
    with pytest.raises(UnreadableSourceError, match="cannot be read as an HDF5 file"):
        open(tmp_path, "train").arrays()


def test_the_papers_weights_are_ones_over_square_roots() -> None:
    weights = losses.root_weights(PAPER_FREQUENCIES)
    np.testing.assert_allclose(weights, [0.0217966, 0.81204625, 0.16615715], rtol=2e-3)
    assert sum(weights) == pytest.approx(1)


def test_mlperfs_weights_are_ones_over_eighth_roots() -> None:
    weights = losses.eighth_root_weights(MLPERF_FREQUENCIES)
    np.testing.assert_allclose(weights, [1.002, 2.615, 1.716], rtol=1e-3)


LABELS = np.array([[[0, 0], [1, 2]], [[0, 0], [0, 0]]], np.uint8)
LOGITS = np.log(
    np.array(
        [
            [[[0.5, 0.25, 0.25], [0.25, 0.5, 0.25]], [[0.25, 0.5, 0.25], [0.5, 0.375, 0.125]]],
            [[[0.5, 0.25, 0.25]] * 2] * 2,
        ],
        np.float32,
    )
)
BIT = np.log(2)
"""The labels' probabilities are 1/2, 1/4, 1/2, 1/8 in the first image, 1/2 everywhere in the other:
1, 2, 1, 3 bits and 1 bit each."""


def test_a_weighted_mean_is_over_pixels_not_over_weights() -> None:
    mean = losses.WeightedCrossentropy([0.1, 0.7, 0.2])
    first = (0.1 * 1 + 0.1 * 2 + 0.7 * 1 + 0.2 * 3) / 4
    of_images = np.asarray(mean.call(LABELS, LOGITS))
    np.testing.assert_allclose(of_images, [first * BIT, 0.1 * BIT], rtol=1e-5)
    assert float(mean(LABELS, LOGITS)) == pytest.approx(float(of_images.mean()))


def test_a_weighted_sum_is_scaled_to_a_tenth() -> None:
    tenth = losses.WeightedCrossentropy([0.1, 0.7, 0.2], "sum")
    np.testing.assert_allclose(
        np.asarray(tenth.call(LABELS, LOGITS)), [0.1 * 1.6 * BIT, 0.1 * 0.4 * BIT], rtol=1e-5
    )


def test_logits_in_half_precision_are_judged_in_single() -> None:
    value = losses.WeightedCrossentropy([1, 1, 1]).call(LABELS, LOGITS.astype(np.float16))
    np.testing.assert_allclose(np.asarray(value), [7 / 4 * BIT, BIT], rtol=1e-3)


def test_all_pixels_of_a_rare_class_are_sampled() -> None:
    everything = losses.SampledCrossentropy(target=4, seed=0).call(LABELS, LOGITS)
    np.testing.assert_allclose(np.asarray(everything), [7 / 4 * BIT, BIT], rtol=1e-5)
    nothing = losses.SampledCrossentropy(target=0, seed=0).call(LABELS, LOGITS)
    np.testing.assert_array_equal(np.asarray(nothing), 0)


def test_of_each_class_about_as_many_pixels_are_sampled() -> None:
    labels = np.zeros((1, 100, 100), np.uint8)
    labels[0, :10], labels[0, 10, :50] = RIVER, CYCLONE
    bits = np.array([1.0, 2.0, 4.0])[labels]
    right = np.exp(-bits * BIT)
    logits = np.log(((1 - right) / 2)[..., np.newaxis] * np.ones(3))
    np.put_along_axis(logits, labels[..., np.newaxis].astype(int), np.log(right)[..., None], -1)
    sampled = losses.SampledCrossentropy(target=50, seed=1)
    means = [float(sampled(labels, logits.astype(np.float32))) / BIT for _ in range(20)]
    assert np.mean(means) == pytest.approx((1 + 2 + 4) / 3, abs=0.1)
    assert len(set(means)) == 20


@pytest.mark.parametrize(
    "saved",
    [losses.WeightedCrossentropy([0.1, 0.7, 0.2], "sum"), losses.SampledCrossentropy(4, seed=5)],
    ids=["weighted", "sampled"],
)
def test_a_loss_is_saved(saved: keras.losses.Loss) -> None:
    again = keras.losses.deserialize(keras.losses.serialize(saved))
    for option in ("weights", "over_pixels", "target", "classes", "seed"):
        assert getattr(again, option, None) == getattr(saved, option, None)
    assert float(again(LABELS, LOGITS)) == pytest.approx(float(saved(LABELS, LOGITS)))


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("weighted", losses.WeightedCrossentropy),
        ("weighted_mean", losses.WeightedCrossentropy),
        ("mlperf", losses.WeightedCrossentropy),
        ("sampled", losses.SampledCrossentropy),
    ],
)
def test_a_configuration_has_the_loss_it_names(name: Any, kind: type) -> None:
    made = loss(replace(SMALL, loss=name))
    assert isinstance(made, kind)
    if isinstance(made, losses.WeightedCrossentropy):
        assert made.over_pixels == ("sum" if name == "weighted" else "mean")
        assert (sum(made.weights) == pytest.approx(1)) == (name != "mlperf")


TRUTH = np.array([[[0, 0, 0, 1]], [[0, 0, 0, 0]]], np.uint8)
PREDICTED = np.array([[[0, 0, 1, 1]], [[0, 0, 0, 2]]], np.uint8)


def test_the_confusion_counts_true_and_predicted_classes_of_each_sample() -> None:
    counts = metric.confusion(TRUTH, PREDICTED)
    assert counts.tolist() == [
        [[2, 1, 0], [0, 1, 0], [0, 0, 0]],
        [[3, 0, 1], [0, 0, 0], [0, 0, 0]],
    ]


def test_iou_of_samples_gives_a_point_for_a_class_that_is_not_there() -> None:
    """First sample: 2/3, 1/2, and 1 for no river; second: 3/4, 1 for no cyclone, 0."""
    counts = metric.confusion(TRUTH, PREDICTED)
    assert metric.iou_of_samples(counts) == pytest.approx((2 / 3 + 1 / 2 + 1 + 3 / 4 + 1 + 0) / 6)


def test_iou_of_classes_is_over_the_pixels_of_all_samples() -> None:
    counts = metric.confusion(TRUTH, PREDICTED)
    np.testing.assert_allclose(metric.iou_of_classes(counts), [5 / 7, 1 / 2, 0])
    keras_mean = keras.metrics.MeanIoU(3)
    keras_mean.update_state(TRUTH, PREDICTED)
    assert metric.score(TRUTH, PREDICTED)["iou"] == pytest.approx(float(keras_mean.result()))


def test_a_class_that_is_nowhere_has_no_iou() -> None:
    scores = metric.score(TRUTH[:1], PREDICTED[:1])
    assert scores["iou"] == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert np.isnan(scores["iou_river"])
    assert scores["accuracy"] == 0.75


def test_neither_background_nor_an_untrained_network_passes(folder: Path) -> None:
    y = open(folder, "train").arrays()[1]
    background = Constant(commonest(y, (*SMALL.input_shape[:2], 3)))
    assert len(missed(CASE.gate, CASE.score(background, SMALL, folder))) == 2
    untrained = CASE.build_model(SMALL)
    assert len(missed(CASE.gate, CASE.score(untrained, SMALL, folder))) == 2


def test_the_truth_passes(folder: Path) -> None:
    truth = open(folder, "test").arrays()[1]

    class Knowing:
        def predict(self, batches: Any, /, *, verbose: int = 0) -> np.ndarray:
            return np.eye(3)[truth]

    assert not missed(CASE.gate, CASE.score(Knowing(), SMALL, folder))


def convolution(inputs: int, outputs: int, kernel: int = 1, bias: bool = True) -> int:
    return inputs * outputs * kernel**2 + outputs * bias


def test_a_tiramisu_has_the_parameters_of_its_layers() -> None:
    """Blocks of 2, 2, 2, 4, 5 layers of 32 filters, 5x5, after 48; 3x3 upwards; 3 classes."""
    channels, skips, expected = 48, [], convolution(16, 48, 5)

    def block(channels: int, depth: int) -> int:
        return sum(convolution(channels + 32 * layer, 32, 5) for layer in range(depth))

    for depth in (2, 2, 2, 4):
        expected += block(channels, depth)
        channels += 32 * depth
        skips.append(channels)
        expected += convolution(channels, channels)
    expected += block(channels, 5)
    added = 5 * 32
    for depth, skip in zip((4, 2, 2, 2), reversed(skips), strict=True):
        expected += convolution(added, added, 3) + block(added + skip, depth)
        channels, added = added + skip + 32 * depth, 32 * depth
    expected += convolution(channels, 3)
    model = CASE.build_model(replace(CASE.config("full_tiramisu"), height=16, width=32))
    assert model.count_params() == expected


@pytest.mark.parametrize("decoder", ["bilinear", "deconv", "deconv1x"])
def test_each_decoder_leads_back_to_the_frame(decoder: Any) -> None:
    network = replace(LAPTOP_DEEPLAB.network, decoder=decoder)
    config: Config = replace(LAPTOP_DEEPLAB, height=32, width=48, network=network)
    assert CASE.build_model(config).output_shape == (None, 32, 48, 3)


def test_a_batch_of_one_frame_teaches_every_convolution() -> None:
    """Ranks that share a small batch have no more each; normalised over it, one mean is nothing."""
    keras.utils.set_random_seed(0)
    network = replace(LAPTOP_DEEPLAB.network, units=(1, 1, 1, 1))
    model = CASE.build_model(replace(LAPTOP_DEEPLAB, height=32, width=48, network=network))
    frame = tf.random.uniform((1, *model.input_shape[1:]))
    kernels = [weight for weight in model.trainable_weights if weight.name == "kernel"]
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(model(frame, training=True) ** 2)
    gradients = tape.gradient(total, [kernel.value for kernel in kernels])
    untaught = [k.path for k, g in zip(kernels, gradients, strict=True) if not np.any(g)]
    assert not untaught


def test_sizes_that_cannot_be_halved_so_often_are_refused() -> None:
    with pytest.raises(ValueError, match=r"multiples of 8 .*got \(height=30, width=48\)"):
        replace(LAPTOP_DEEPLAB, height=30, width=48)
