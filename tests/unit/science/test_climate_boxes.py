"""Climate boxes: frames with storms, boxes on a grid, a loss of three terms, average precision."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest

from interactive_dl.bench import autoencoder, flops
from interactive_dl.data import Alone
from interactive_dl.science.climate_boxes import case, frames, metric
from interactive_dl.science.climate_boxes.case import CASE
from interactive_dl.science.climate_boxes.config import FULL_SIZE, LAPTOP, Config
from interactive_dl.science.climate_boxes.data import (
    generate,
    keeps_label,
    open,
    partly_labelled,
    true_boxes,
    within,
)
from interactive_dl.science.climate_boxes.grid import Boxes, decode, encode
from interactive_dl.science.climate_boxes.loss import detection_loss
from interactive_dl.science.climate_boxes.model import Detector, Tied
from interactive_dl.science.definition import Constant, Task, commonest, missed
from interactive_dl.science.splits import SPLIT_START

TINY = replace(LAPTOP, size=16, train=8, val=2, test=2, filters=(3, 4), batch_size=4, epochs=1)
ALL = replace(LAPTOP, classes=frames.KINDS)


# -- frames ---------------------------------------------------------------------------------------


def test_a_share_of_the_frames_is_the_same_wherever_it_is_drawn() -> None:
    whole, part = generate(TINY, 6, seed=2), generate(TINY, 2, seed=2, start=4)
    for ours, theirs in zip(whole, part, strict=True):
        np.testing.assert_array_equal(ours[4:], theirs)
    assert not np.array_equal(generate(TINY, 1, seed=3)[0], whole[0][:1])


def test_the_frames_of_a_seed_are_those_that_the_gate_was_measured_with() -> None:
    """Whoever changes the generator raises ``CASE.generator`` and measures the gate again."""
    images, boxes = generate(LAPTOP, 4)
    assert CASE.generator == 1
    assert [int((each[:, 4] >= 0).sum()) for each in boxes] == [2, 2, 3, 1]
    means = images[0].mean(axis=(1, 2), dtype=np.float64)
    np.testing.assert_allclose(
        means,
        [4.04435e-08, 100949.9, 218.0885, 262.525, 29.50893, 5.585467, -1.873786, 81.53502],
        rtol=1e-4,
    )


def test_a_cyclone_is_a_warm_low_with_wind_around_it() -> None:
    size, storm = 96, frames.Storm(y=70.0, x=30.0, radius=3.0)
    fields = {
        name: np.zeros((size, size)) for name in ("PSL", "T200", "T500", "TMQ", "U850", "V850")
    }
    frames._CYCLONES["tc"].add(np.random.default_rng(0), fields, storm)
    y, x = np.unravel_index(fields["PSL"].argmin(), (size, size))
    assert max(abs(y + 0.5 - storm.y), abs(x + 0.5 - storm.x)) < 1
    assert fields["T200"].max() > 1
    assert fields["U850"][73, 30] < -1 < 1 < fields["U850"][66, 30]
    assert fields["V850"][70, 26] < -1 < 1 < fields["V850"][70, 33]
    south = {name: np.zeros((size, size)) for name in fields}
    frames._CYCLONES["tc"].add(np.random.default_rng(0), south, replace(storm, y=size - storm.y))
    np.testing.assert_allclose(south["U850"], fields["U850"][::-1], atol=1e-12)
    np.testing.assert_allclose(south["V850"], -fields["V850"][::-1], atol=1e-12)


def test_what_is_asked_for_has_boxes_within_the_frame() -> None:
    _, boxes = generate(ALL, 30)
    found = boxes[boxes[..., 4] >= 0]
    assert set(found[:, 4]) == {0, 1, 2, 3}
    assert (found[:, :2] < found[:, 2:4]).all()
    assert found[:, :4].min() >= 0
    assert found[:, :4].max() <= 96
    _, fewer = generate(replace(ALL, classes=("etc",)), 30)
    np.testing.assert_array_equal(
        fewer[fewer[..., 4] == 0][:, :4], boxes[boxes[..., 4] == 2][:, :4]
    )


def test_a_field_that_follows_another_is_like_it() -> None:
    image = generate(replace(LAPTOP, channels=("PSL", "Z1000", "T500")), 1)[0][0]
    smooth = image.reshape(3, 12, 8, 12, 8).mean(axis=(2, 4)).reshape(3, -1)
    correlation = np.corrcoef(smooth)
    assert correlation[0, 1] > 0.8 > abs(correlation[0, 2])


# -- files ----------------------------------------------------------------------------------------


def test_written_splits_are_opened_by_name_and_share_no_frame(tmp_path: Path) -> None:
    CASE.write(TINY, tmp_path, 5)
    seen = set()
    for split, start in SPLIT_START.items():
        count = getattr(TINY, split)
        images, boxes = generate(TINY, count, seed=5, start=start)
        x, y = open(tmp_path, split).arrays()
        np.testing.assert_array_equal(x, np.moveaxis(images, 1, -1))
        np.testing.assert_array_equal(y, encode(boxes, 16, TINY.cell, 2))
        seen |= {image.tobytes() for image in x}
    assert len(seen) == 8 + 2 + 2


def test_the_originals_files_are_cut_to_squares(tmp_path: Path) -> None:
    images = np.arange(2 * 16 * 128 * 192, dtype=np.float32).reshape(2, 16, 128, 192)
    boxes = np.full((2, 15, 5), -1)
    boxes[0, 0] = (64, 0, 128, 64, 3)
    boxes[0, 1] = (0, 100, 64, 140, 1)
    boxes[1, 0] = (0, 120, 64, 180, 1)
    with h5py.File(tmp_path / "train.h5", "w") as file:
        file["images"], file["boxes"] = images, boxes
    x, y = open(tmp_path, "train").arrays()
    np.testing.assert_array_equal(x[1, :, :, 5], images[1, 5, :, :128])
    assert y.shape == (2, 2, 2, 10)
    assert y[0, 1, 0].tolist() == [0.5, 0.5, 0, 0, 1, 0, 0, 0, 0, 1]
    assert y[0, 0, 1, 4:].tolist() == [1, 0, 0, 1, 0, 0]
    assert decode(y[:1], 64, 1.0).edges[0].tolist() == [0, 82, 64, 146]
    assert not y[1, ..., 4].any()


def test_the_truth_has_boxes_for_which_the_grid_has_no_room(tmp_path: Path) -> None:
    boxes = np.full((2, 15, 5), -1)
    boxes[1, 0], boxes[1, 1] = (0, 0, 64, 64, 3), (20, 20, 30, 30, 1)
    boxes[1, 2] = (100, 120, 140, 130, 0)
    with h5py.File(tmp_path / "test.h5", "w") as file:
        file["images"], file["boxes"] = np.zeros((2, 1, 128, 192), np.float32), boxes
    found = true_boxes(tmp_path, "test")
    assert found.frame.tolist() == [1, 1, 1]
    assert found.label.tolist() == [3, 1, 0]
    assert found.edges.tolist() == [[0, 0, 64, 64], [20, 20, 30, 30], [100, 120, 128, 128]]
    assert len(decode(open(tmp_path, "test").arrays()[1], 64, 1.0).frame) == 2


def test_boxes_are_cut_at_the_edge_unless_their_middle_is_outside() -> None:
    boxes = np.array([[[0, 4, 8, 10, 1], [0, 6, 8, 12, 1], [-1] * 5]])
    assert within(boxes, 8).tolist() == [[[0, 4, 8, 8, 1], [-1] * 5, [-1] * 5]]


def test_a_share_of_the_frames_keeps_its_labels_and_a_smaller_one_is_part_of_it(
    tmp_path: Path,
) -> None:
    numbers = np.arange(1000)
    half, quarter = keeps_label(numbers, 0.5), keeps_label(numbers, 0.25)
    assert [half.mean(), quarter.mean()] == pytest.approx([0.5, 0.25], abs=2e-3)
    assert half[quarter].all()
    assert half[:10].sum() == 5
    assert keeps_label(numbers, 1.0).all()
    CASE.write(TINY, tmp_path, 0)
    _, y, weight = partly_labelled(open(tmp_path, "train"), 0.5).arrays()
    np.testing.assert_array_equal(weight, half[:8])
    np.testing.assert_array_equal(y, open(tmp_path, "train").arrays()[1])


# -- grids ----------------------------------------------------------------------------------------


def test_a_box_lies_in_the_cell_of_its_centre() -> None:
    boxes = np.full((1, 15, 5), -1)
    boxes[0, 0] = (8, 20, 24, 28, 1)
    grid = encode(boxes, 32, 8, 2)
    assert grid.shape == (1, 4, 4, 8)
    assert grid[0, 2, 3].tolist() == [0, 0, 1, 0, 1, 0, 0, 1]
    others = np.delete(grid.reshape(16, 8), 2 * 4 + 3, axis=0)
    assert (others == [0, 0, 0, 0, 0, 1, 0, 0]).all()


def test_boxes_come_back_from_their_grid() -> None:
    boxes = np.full((2, 15, 5), -1)
    boxes[0, 0], boxes[0, 1], boxes[1, 4] = (0, 0, 13, 9, 0), (8, 20, 24, 28, 1), (3, 8, 19, 31, 1)
    found = decode(encode(boxes, 32, 8, 2), 8, 1.0)
    assert found.frame.tolist() == [0, 0, 1]
    assert found.label.tolist() == [0, 1, 1]
    np.testing.assert_allclose(found.edges, boxes[boxes[..., 4] >= 0][:, :4], atol=1e-5)


# -- the network ----------------------------------------------------------------------------------


def test_the_loss_is_that_worked_by_hand() -> None:
    truth, found = np.zeros((2, 1, 2, 8), np.float32), np.zeros((2, 1, 2, 8), np.float32)
    truth[..., 5] = 1
    truth[0, 0, 0] = (0.5, 0.5, 1, 2, 1, 0, 0, 1)
    found[..., 4:] = (0.2, 0.8, 0.5, 0.5)
    found[0, 0, 0] = (0.7, 0.5, 1, 4, 0.25, 0.75, 0.9, 0.1)
    one = 5 * (0.2**2 / 2) + 7 * (2 - 0.5) - np.log(0.25) - np.log(0.1) - 0.5 * np.log(0.8)
    np.testing.assert_allclose(detection_loss(truth, found), [one, -np.log(0.8)], rtol=1e-5)


@pytest.fixture(scope="module")
def model() -> Detector:
    keras.utils.set_random_seed(1)
    model = CASE.build_model(TINY)
    CASE.compile(model, TINY, lambda same: same)
    return model


def batch(count: int = 4) -> tuple[np.ndarray, np.ndarray]:
    images, boxes = generate(TINY, count)
    return np.moveaxis(images, 1, -1), encode(boxes, 16, 4, 2)


def test_the_combined_loss_has_all_terms(model: Detector) -> None:
    x, y = batch()
    weight = np.array([1, 0, 0, 1], np.float32)
    found, again = model(x, training=False)
    fields = [frames.CHANNELS[name] for name in TINY.channels]
    standard = (x - [each.mean for each in fields]) / [each.deviation for each in fields]
    kernels = [each for each in model.trainable_weights if each.name == "kernel"]
    assert len(kernels) == 2 + 3
    expected = (
        np.asarray(detection_loss(y, found))[[0, 3]].sum() / 4
        + 10 * np.mean((np.asarray(again) - standard) ** 2)
        + 5e-4 * sum(np.sum(np.square(each)) for each in kernels)
    )
    assert float(model.compute_loss(x, y, (found, again), weight)) == pytest.approx(
        expected, rel=1e-4
    )


def test_labels_of_frames_without_do_not_count(model: Detector) -> None:
    x, y = batch()
    y_pred, weight = model(x, training=False), np.array([1, 0, 1, 0], np.float32)
    other = y.copy()
    other[[1, 3]] = other[[3, 1]] + 1
    losses = [float(model.compute_loss(x, truth, y_pred, weight)) for truth in (y, other)]
    assert losses[0] == losses[1]
    assert float(model.compute_loss(x, other, y_pred, None)) != losses[0]


def test_the_decoder_is_the_encoder_turned_round() -> None:
    """Its matrix is the transpose: <convolution(x), y> = <x, back(y)>."""
    convolution = keras.layers.Conv2D(3, 5, strides=2, padding="same", use_bias=False)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1, 8, 8, 2)).astype(np.float32)
    y = rng.normal(size=(1, 4, 4, 3)).astype(np.float32)
    forth = np.asarray(convolution(x))
    back = np.asarray(Tied(convolution)(y))
    assert (forth * y).sum() == pytest.approx((x * back).sum(), rel=1e-4)


def test_frames_are_told_again_in_units_of_their_deviations(model: Detector) -> None:
    some = np.moveaxis(generate(TINY, 2)[0], 1, -1)
    fields = [frames.CHANNELS[name] for name in TINY.channels]
    means, deviations = [one.mean for one in fields], [one.deviation for one in fields]
    seen, told = (np.asarray(each) for each in model.reconstruct(some))
    np.testing.assert_allclose(seen, (some - means) / deviations, rtol=1e-3, atol=1e-3)
    np.testing.assert_array_equal(told, np.asarray(model(some, training=False)[1]))


def test_at_first_all_boxes_can_still_move(model: Detector) -> None:
    found = np.asarray(model(batch()[0], training=True)[0])
    assert found[..., :4] == pytest.approx(0.5, abs=0.25)
    assert found[..., 4:] == pytest.approx(0.5, abs=0.25)


def weights(config: Config) -> int:
    encoder = pairwise((len(config.channels), *config.filters))
    code = config.filters[-1]
    heads = (9 * code + 1) * (4 + 2 + len(config.classes))
    return sum((25 * before + 1) * after for before, after in encoder) + 4 * code + heads


def test_a_networks_weights_are_those_of_encoder_and_heads(model: Detector) -> None:
    assert model.count_params() == weights(TINY)
    assert len(model.trainable_weights) == 2 * 2 + 2 + 3 * 2
    assert weights(FULL_SIZE) == 66_530_698


def test_both_ways_through_the_encoder_are_counted() -> None:
    cells = [(TINY.size // 2**level) ** 2 for level in (1, 2)]
    encoder = 2 * 25 * (cells[0] * 8 * 3 + cells[1] * 3 * 4)
    heads = 2 * 9 * cells[1] * 4 * (4 + 2 + 2)
    assert flops.count(CASE.build_model(TINY)).forward == 2 * encoder + heads


def test_a_network_is_saved_with_its_configuration(model: Detector, tmp_path: Path) -> None:
    model.save(tmp_path / "boxes.keras")
    loaded = keras.models.load_model(tmp_path / "boxes.keras")
    assert loaded.config == TINY
    x, _ = batch()
    for ours, theirs in zip(model(x), loaded(x), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


def test_a_frame_must_be_cut_into_whole_cells() -> None:
    with pytest.raises(ValueError, match=r"size=20, filters=\(16, 32, 64\)"):
        replace(LAPTOP, size=20)


# -- average precision ----------------------------------------------------------------------------


def boxes(*rows: tuple[int, float, float, float, float, int, float]) -> Boxes:
    table = np.array(rows, np.float64).reshape(-1, 7)
    return Boxes(table[:, 0].astype(int), table[:, 1:5], table[:, 5].astype(int), table[:, 6])


TRUTH = boxes(
    (0, 0, 0, 10, 10, 0, 1),
    (0, 20, 20, 30, 30, 0, 1),
    (1, 0, 0, 10, 10, 0, 1),
    (1, 5, 5, 9, 9, 1, 1),
)
FOUND = boxes(
    (0, 0, 0, 10, 10, 0, 0.95),
    (0, 1, 0, 11, 10, 0, 0.9),
    (1, 0, 0, 10, 5, 0, 0.85),
    (1, 40, 40, 50, 50, 0, 0.8),
)


def test_overlap_is_what_is_shared_of_both() -> None:
    box = np.array([0.0, 0, 10, 10])
    others = np.array([[0.0, 0, 10, 10], [0, 5, 10, 15], [10, 0, 20, 10], [2, 2, 4, 4]])
    np.testing.assert_allclose(
        metric.intersection_over_union(box, others), [1, 50 / 150, 0, 4 / 100]
    )


def test_a_true_box_is_found_once() -> None:
    truth, found = TRUTH.of_class(0), FOUND.of_class(0)
    assert metric.matched(truth, found, 0.5).tolist() == [True, False, True, False]
    assert metric.matched(truth, found, 0.6).tolist() == [True, False, False, False]


def test_average_precision_is_that_worked_by_hand() -> None:
    truth, found = TRUTH.of_class(0), FOUND.of_class(0)
    assert metric.average_precision(truth, found, 0.5) == pytest.approx((1 + 2 / 3) / 3)
    assert metric.average_precision(truth, found, 0.6) == pytest.approx(1 / 3)
    assert metric.average_precision(truth, truth, 0.5) == pytest.approx(1)
    assert metric.average_precision(truth, boxes(), 0.5) == 0
    assert metric.mean_average_precision(TRUTH, FOUND, 0.5) == pytest.approx((1 + 2 / 3) / 6)


# -- the case -------------------------------------------------------------------------------------


def test_only_frames_for_training_are_without_labels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    CASE.write(TINY, tmp_path, 0)
    tasks: list[Task] = []
    monkeypatch.setattr(case, "fit", tasks.append)
    config = replace(TINY, labelled=0.25)
    CASE.train(Task(CASE, config, tmp_path, Alone(), seed=0, name="boxes", batch_size=4))
    given = {split: tasks[0].case.open(tmp_path, split).arrays() for split in ("train", "val")}
    assert given["train"][2].tolist() == keeps_label(np.arange(8), 0.25).tolist()
    assert len(given["val"]) == 2


class Oracle:
    """Gives the truth, at a distance of some pixels, in every ``step``-th frame only."""

    def __init__(self, step: int = 1, shift: float = 0.0) -> None:
        self.step, self.shift = step, shift

    def predict(self, batches, /, *, verbose: int = 0) -> np.ndarray:
        grid = np.concatenate([batches[step][1] for step in range(batches.steps)])
        grid[np.arange(len(grid)) % self.step > 0, ..., 4] = 0
        grid[..., 1] += self.shift
        return grid


def test_the_gate_asks_for_storms_that_are_found(tmp_path: Path) -> None:
    config = replace(LAPTOP, train=1, val=1, test=40)
    CASE.write(config, tmp_path, 0)
    perfect = CASE.score(Oracle(), config, tmp_path)
    assert perfect == pytest.approx({"ap_10": 1, "ap_50": 1, "found": 1})
    assert not missed(CASE.gate, perfect)
    assert missed(CASE.gate, CASE.score(Oracle(step=8), config, tmp_path))
    assert CASE.score(Oracle(shift=1.0), config, tmp_path)["ap_50"] < 0.5 < perfect["ap_10"]


def test_storms_for_which_the_grid_has_no_room_are_missed(tmp_path: Path) -> None:
    boxes = np.full((1, 15, 5), -1)
    boxes[0, 0], boxes[0, 1] = (0, 0, 10, 10, 0), (1, 1, 11, 11, 0)
    with h5py.File(tmp_path / "test.h5", "w") as file:
        file.attrs.update({"cell": LAPTOP.cell, "classes": 2})
        file["images"], file["boxes"] = np.zeros((1, 8, 64, 64), np.float32), boxes
    scores = CASE.score(Oracle(), LAPTOP, tmp_path)
    assert scores == pytest.approx({"ap_10": 0.5, "ap_50": 0.5, "found": 0.5})


def test_what_has_not_looked_fails_the_gate(tmp_path: Path) -> None:
    config = replace(LAPTOP, train=30, val=1, test=30)
    CASE.write(config, tmp_path, 0)
    keras.utils.set_random_seed(0)
    untrained = CASE.build_model(LAPTOP)
    assert CASE.score(untrained, config, tmp_path)["ap_10"] < case.AP_10_GATE / 2
    y = open(tmp_path, "train").arrays()[1]
    constant = Constant(commonest(y, untrained.output_shape[1:]))
    assert CASE.score(constant, config, tmp_path)["ap_10"] == 0


def test_the_study_pairs_trainings_that_differ_in_the_autoencoder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def run(boxes, size, *, seed, data_seed, cache):
        config = boxes.config(size)
        seen.append((config.reconstruction, config.labelled, seed, data_seed))
        value = 0.5 + seed / 10 + config.reconstruction / 100
        return type("Result", (), {"metrics": {"ap_10": value, "ap_50": 0.0}})

    monkeypatch.setattr(autoencoder.science, "run", run)
    pairs = autoencoder.study([0, 1])
    assert seen == [(r, 0.25, seed, seed) for seed in (0, 1) for r in (10.0, 0.0)]
    lines = autoencoder.table(pairs).splitlines()
    assert lines[2] == "| 0 | 0.600 | 0.500 | +0.100 | 0.000 | 0.000 | +0.000 |"
    assert "| mean |  |  | +0.100 ± 0.000 |" in lines[4]
