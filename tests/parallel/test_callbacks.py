"""Callbacks on real ranks: one beginning, one set of metrics, one learning rate, one checkpoint."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from models import BATCH, MODELS, convolution, distance, loss, my_part, samples, weights

from interactive_dl import data, engine
from interactive_dl.engine import _checkpoint, _fencing, _rate
from interactive_dl.engine._agreement import check_weights_agree
from interactive_dl.engine._fit_context import context_of
from interactive_dl.errors import (
    CheckpointError,
    CheckpointTakenError,
    DriftError,
    TrainingError,
)

STEPS = 4


class Record(keras.callbacks.Callback):
    """Learning rate of every step, and the logs of every epoch."""

    def __init__(self):
        super().__init__()
        self.rates, self.logs = [], []

    def on_train_batch_end(self, batch, logs=None):
        self.rates.append(_rate.get_rate(self.model.optimizer))

    def on_epoch_end(self, epoch, logs=None):
        self.logs.append(dict(logs))


def build(optimizer=None, seed=3, name="dense"):
    keras.utils.set_random_seed(seed)
    model = MODELS[name]()
    model.compile(engine.distribute(optimizer or keras.optimizers.SGD(0.1, momentum=0.9)), loss())
    return model


def part(group, name="dense"):
    x, y = samples(name, STEPS, group.size)
    return my_part(x, group.rank, group.size), my_part(y, group.rank, group.size)


def fit(model, group, epochs=1, extra=(), initial_epoch=0, **options):
    x, y = part(group)
    return model.fit(
        x,
        y,
        batch_size=BATCH,
        epochs=epochs,
        verbose=0,
        shuffle=False,
        initial_epoch=initial_epoch,
        callbacks=[*engine.callbacks("test", **options), *extra],
    )


def test_ranks_that_begin_differently_get_rank_0s_state(group):
    model = build(seed=100 + group.rank)
    start = group.broadcast(weights(model))
    same = build(seed=100)
    assert distance(start, weights(same)) == 0
    fit(model, group)
    fit(same, group)
    assert distance(weights(model), weights(same)) == 0


def test_optimizer_state_is_broadcast_too(group):
    model = build()
    model.optimizer.build(model.trainable_variables)
    for momentum in model.optimizer.momentums:
        momentum.assign(momentum + group.rank)
    fit(model, group)
    check_weights_agree(model, "after different momenta")


def test_metrics_are_the_mean_over_ranks(group):
    class Opinion(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            logs["loss"] = float(group.rank)

    record = Record()
    x, y = part(group)
    callbacks = [Opinion(), *engine.callbacks("test"), record]
    build().fit(x, y, batch_size=BATCH, verbose=0, callbacks=callbacks)
    logs = record.logs[0]
    assert logs["loss"] == (group.size - 1) / 2
    assert len({repr(sorted(other.items())) for other in group.allgather(logs)}) == 1


def test_ranks_with_other_models_are_refused_on_every_rank(group):
    if group.size == 1:
        return
    model = build(name="dense" if group.rank else "convolution")
    x, y = part(group, "dense" if group.rank else "convolution")
    with pytest.raises(ValueError, match="same model.*rank 1 differ"):
        model.fit(x, y, batch_size=BATCH, verbose=0, callbacks=engine.callbacks("test"))


def test_ranks_with_other_numbers_of_steps_are_refused_on_every_rank(group):
    if group.size == 1:
        return
    x, y = part(group)
    keep = len(x) - BATCH if group.rank else len(x)
    with pytest.raises(TrainingError, match="same steps per epoch.*rank 0: 4, rank 1: 3"):
        build().fit(
            x[:keep], y[:keep], batch_size=BATCH, verbose=0, callbacks=engine.callbacks("test")
        )


def test_ranks_that_take_other_numbers_of_steps_at_once_are_refused_on_every_rank(group):
    if group.size == 1 or keras.backend.backend() == "torch":
        return
    model = build()
    model.compile(model.optimizer, loss(), steps_per_execution=1 if group.rank else 2)
    with pytest.raises(TrainingError, match="same steps_per_execution.*rank 0: 2, rank 1: 1"):
        fit(model, group)


def test_ranks_that_combine_their_gradients_otherwise_are_refused_on_every_rank(group):
    if group.size == 1:
        return
    model = build()
    engine.distribute(model.optimizer, op="average" if group.rank else "sum")
    with pytest.raises(TrainingError, match="same reduction.*rank 0: .*sum.*rank 1: .*average"):
        fit(model, group)


def test_drift_of_an_optimizer_that_is_not_distributed_names_the_tensor(group):
    if group.size == 1:
        return
    model = build()
    model.compile(keras.optimizers.SGD(0.1), loss())
    x, y = part(group)
    with pytest.raises(DriftError, match="after step 1, first in '.*/kernel'.*engine.distribute"):
        model.fit(x, y, batch_size=BATCH, verbose=0, callbacks=engine.callbacks("test"))


def test_drift_within_an_epoch_is_found_at_its_end(group):
    class Meddle(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == STEPS - 1 and group.rank == group.size - 1:
                kernel = self.model.trainable_variables[2]
                kernel.assign(kernel * 1.001)

    if group.size == 1:
        return
    x, y = part(group)
    model = build()
    with pytest.raises(DriftError, match=r"after epoch 1, first in '.*dense_\d+/kernel'"):
        model.fit(
            x, y, batch_size=BATCH, verbose=0, callbacks=[Meddle(), *engine.callbacks("test")]
        )


def test_warm_up_follows_horovods_formula_at_every_step(group):
    record = Record()
    fit(build(keras.optimizers.SGD(0.8)), group, epochs=3, extra=[record], warmup_epochs=2)
    n = group.size
    fractional = [(step + 1) / STEPS for step in range(3 * STEPS)]
    expected = [0.8 / n * (min(e, 2) * (n - 1) / 2 + 1) for e in fractional]
    np.testing.assert_allclose(record.rates, expected, rtol=1e-6)


def test_momentum_correction_scales_the_velocity_with_the_rate():
    model = build(keras.optimizers.SGD(0.1, momentum=0.9))
    optimizer = model.optimizer
    optimizer.build(model.trainable_variables)
    for momentum in optimizer.momentums:
        momentum.assign(momentum + 2.0)
    _rate.set_rate(optimizer, 0.3, momentum_correction=True)
    for momentum in optimizer.momentums:
        np.testing.assert_allclose(keras.ops.convert_to_numpy(momentum.value), 6.0, rtol=1e-6)


def test_warm_up_of_a_schedule_of_its_own_is_refused(group):
    schedule = keras.optimizers.schedules.CosineDecay(0.1, 10)
    with pytest.raises(ValueError, match="engine.WarmUp"):
        fit(build(keras.optimizers.SGD(schedule)), group, warmup_epochs=1, warmup_start=0.5)


def test_a_plateau_lowers_the_rate_alike_on_all_ranks(group):
    """Each rank's own loss falls on some ranks and rises on others; the mean decides."""

    class Opinion(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            logs["loss"] = float(epoch if group.rank % 2 else -epoch)

    record = Record()
    x, y = part(group)
    build(keras.optimizers.SGD(0.8)).fit(
        x,
        y,
        batch_size=BATCH,
        epochs=4,
        verbose=0,
        callbacks=[
            Opinion(),
            *engine.callbacks(
                "test", plateau={"monitor": "loss", "patience": 1, "factor": 0.5, "min_delta": 0}
            ),
            record,
        ],
    )
    rates = group.allgather(record.rates)
    assert all(other == rates[0] for other in rates)
    lowered = rates[0][-1] < 0.8
    assert lowered == (group.size > 1)


@pytest.mark.parametrize("seen_by", ["validation", "checkpoints"])
def test_moving_statistics_are_averaged_before_they_are_used(seen_by, group):
    class Statistics(keras.callbacks.Callback):
        def note(self, *args, **kwargs):
            self.seen = [np.asarray(value) for value in self.model.get_weights()[2:4]]

    statistics = Statistics()
    hook = "on_test_begin" if seen_by == "validation" else "on_epoch_end"
    setattr(statistics, hook, statistics.note)
    model = keras.Sequential(
        [keras.Input((6,)), keras.layers.BatchNormalization(momentum=0.5), keras.layers.Dense(4)]
    )
    model.compile(engine.distribute("sgd"), loss())
    x, y = part(group)
    model.fit(
        x + group.rank,
        y,
        batch_size=BATCH,
        verbose=0,
        validation_data=(x, y) if seen_by == "validation" else None,
        callbacks=[*engine.callbacks("test"), statistics],
    )
    assert np.any(statistics.seen[0] != 0)
    gathered = group.allgather([value.tobytes() for value in statistics.seen])
    assert all(other == gathered[0] for other in gathered)


def test_dropout_masks_differ_between_ranks(group):
    model = keras.Sequential([keras.Input((64,)), keras.layers.Dropout(0.5)])
    model.add(keras.layers.Dense(4))
    model.compile(engine.distribute("sgd"), loss())
    x = np.ones((BATCH, 64), "float32")
    model.fit(x, np.zeros(BATCH), verbose=0, callbacks=engine.callbacks("test"))
    masked = model.layers[0](keras.ops.convert_to_tensor(x[:1]), training=True)
    mask = np.asarray(keras.ops.convert_to_numpy(masked)) > 0
    assert len({other.tobytes() for other in group.allgather(mask)}) == group.size


def test_throughput_counts_the_samples_of_all_ranks(group):
    x, y = samples("dense", STEPS, group.size)
    batches = data.from_arrays(x, y).shard(group).batch(BATCH)
    history = build().fit(batches, epochs=2, verbose=0, callbacks=engine.callbacks("test"))
    rates = group.allgather(history.history["samples_per_s"])
    assert all(other == rates[0] for other in rates)
    assert min(rates[0]) > 0


def resumable(group, path, epochs, seed, **options):
    """Dropout, momentum, shuffling, warm-up and a plateau: whatever a checkpoint must carry."""
    keras.utils.set_random_seed(seed)
    model = convolution(dropout=0.25)
    model.compile(engine.distribute(keras.optimizers.SGD(0.05, momentum=0.9)), loss())
    x, y = samples("convolution", STEPS, group.size)
    batches = data.from_arrays(x, y).shard(group, seed=5).batch(BATCH)
    history = model.fit(
        batches,
        epochs=epochs,
        verbose=0,
        callbacks=engine.callbacks(
            "resumable",
            checkpoint=path,
            warmup_epochs=3,
            plateau={"monitor": "loss", "patience": 1, "min_delta": 0.5},
            **options,
        ),
    )
    return model, history.history["loss"]


def test_an_interrupted_fit_resumed_from_its_checkpoint_gives_the_same_curve(group, shared_path):
    whole, curve = resumable(group, shared_path / "whole.keras", 5, seed=3)
    _, first = resumable(group, shared_path / "part.keras", 2, seed=3)
    resumed, rest = resumable(group, shared_path / "part.keras", 5, seed=99 + group.rank)
    assert [*first, *rest] == curve
    assert distance(weights(whole), weights(resumed)) == 0
    assert _rate.get_rate(whole.optimizer) == _rate.get_rate(resumed.optimizer)


def test_plain_keras_reads_a_checkpoint(group, shared_path):
    model = build(keras.optimizers.Adam(1e-2))
    fit(model, group, checkpoint=shared_path / "run.keras")
    group.comm.Barrier()
    loaded = keras.models.load_model(shared_path / "run.keras")
    assert type(loaded.optimizer) is type(model.optimizer)
    assert loaded.optimizer.get_config() == model.optimizer.get_config()
    assert distance(weights(loaded), weights(model)) == 0
    for mine, theirs in zip(model.optimizer.variables, loaded.optimizer.variables, strict=True):
        np.testing.assert_array_equal(
            keras.ops.convert_to_numpy(mine.value), keras.ops.convert_to_numpy(theirs.value)
        )
    assert {path.name for path in shared_path.iterdir()} == {"run.keras", ".run.keras.writer"}


def test_rank_0_alone_writes_checkpoints(group, shared_path, monkeypatch):
    written = []
    write = _checkpoint.write_checkpoint

    def counting(model, path, *rest):
        written.append(path)
        write(model, path, *rest)

    monkeypatch.setattr(_checkpoint, "write_checkpoint", counting)
    fit(build(), group, epochs=2, checkpoint=shared_path / "run.keras")
    assert group.allgather(len(written)) == [2] + [0] * (group.size - 1)


def test_a_damaged_checkpoint_is_one_error_on_every_rank(group, shared_path):
    path = shared_path / "damaged.keras"
    if group.rank == 0:
        path.write_bytes(b"PK not a checkpoint")
    group.comm.Barrier()
    with pytest.raises(CheckpointError, match="cannot be resumed.*\n.*resume=False"):
        fit(build(), group, checkpoint=path)


def test_a_checkpoint_of_another_model_is_one_error_on_every_rank(group, shared_path):
    path, writer = shared_path / "other.keras", shared_path / ".other.keras.writer"
    fit(build(), group, checkpoint=path)
    before = writer.read_text()
    group.comm.Barrier()
    other = build(name="convolution")
    x, y = part(group, "convolution")
    with pytest.raises(CheckpointError, match="cannot be resumed"):
        other.fit(x, y, verbose=0, callbacks=engine.callbacks("test", checkpoint=path))
    assert writer.read_text() == before, "who cannot go on must not stop who writes it"


class TakenByAnother(keras.callbacks.Callback):
    """Another training takes the file, on another host; ``hook`` says when."""

    def __init__(self, path, hook, restarts=0):
        super().__init__()
        self.path, self.restarts = path, restarts
        setattr(self, hook, self._take)

    def _take(self, at=None, logs=None):
        context_of(self.model).restarts = self.restarts
        if engine.current().rank == 0 and at != 0:
            _fencing.take(self.path, _fencing.Token("again", "me@n2 (engine 4)"))


TAKEN = r"(?s)has taken it over: 'again' of me@n2 \(engine 4\), since .*This one \('test' of "


def test_a_training_whose_checkpoint_another_has_taken_ends_on_every_rank(group, shared_path):
    path = shared_path / "run.keras"
    other = TakenByAnother(path, "on_epoch_begin")
    with pytest.raises(CheckpointTakenError, match=TAKEN):
        fit(build(), group, epochs=3, checkpoint=path, extra=[other])
    assert _checkpoint.read_note(path)["epoch"] == 1
    group = engine.init()
    history = fit(build(), group, epochs=3, checkpoint=path)  # begins later, and takes it in turn
    assert history.epoch == [1, 2]


def test_a_regrouped_training_does_not_take_back_what_another_has_taken(group, shared_path):
    path = shared_path / "run.keras"
    x, y = part(group)
    callbacks = engine.callbacks("test", checkpoint=path)
    model = build()
    model.fit(x, y, batch_size=BATCH, verbose=0, callbacks=callbacks)
    callbacks.insert(0, TakenByAnother(path, "on_train_begin", restarts=1))
    with pytest.raises(CheckpointTakenError, match=TAKEN):
        model.fit(x, y, batch_size=BATCH, verbose=0, callbacks=callbacks)


def test_what_was_written_between_reading_and_taking_is_read(group, shared_path, monkeypatch):
    early, late = shared_path / "run.keras", shared_path / "late.keras"
    fit(build(), group, epochs=1, checkpoint=early)
    fit(build(), group, epochs=2, checkpoint=late)
    take = _fencing.take

    def late_write(path, token):
        late.replace(path)
        take(path, token)

    monkeypatch.setattr(_fencing, "take", late_write)
    assert fit(build(), group, epochs=3, checkpoint=early).epoch == [2]


def test_a_checkpoint_is_named_keras():
    with pytest.raises(ValueError, match="must end in .keras, but got 'run.h5'"):
        engine.callbacks("test", checkpoint="run.h5")
