"""Techniques of large batches on ranks: each trains as one process with the whole batch does."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from lines import ScriptedLine, scripted
from models import BATCH, MODELS, dense, distance, loss, my_part, samples, weights

from interactive_dl import data, engine
from interactive_dl.engine import _horovod, _rate, _tuning, knobs
from interactive_dl.engine._agreement import check_weights_agree
from interactive_dl.engine._recovery import scale_rates
from interactive_dl.errors import TrainingError
from interactive_dl.telemetry import events
from interactive_dl.telemetry.steering import SetKnobs

STEPS = 4
ROUNDING = 3e-5

ADAPTIVE = {
    "lars": lambda: engine.Lars(5.0, weight_decay=1e-3),
    "larc": lambda: engine.Larc(keras.optimizers.Adam(1e-3, epsilon=1e-3), weight_decay=1e-3),
    "lamb": lambda: engine.Lamb(1e-3, 1e-2, epsilon=1e-3),
}


def train(optimizer, *, epochs=1, together=True, callbacks=None, model=dense):
    """All ranks with their parts, or each rank alone with everything."""
    group = engine.current()
    x, y = samples("dense", STEPS, group.size)
    if together:
        x, y = my_part(x, group.rank, group.size), my_part(y, group.rank, group.size)
    keras.utils.set_random_seed(3)
    built = model()
    built.compile(engine.distribute(optimizer) if together else optimizer, loss())
    built.fit(
        x,
        y,
        batch_size=BATCH * (1 if together else group.size),
        epochs=epochs,
        shuffle=False,
        verbose=0,
        callbacks=callbacks or (engine.callbacks("large batch") if together else []),
    )
    return built


# -- trust ratios ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ADAPTIVE)
def test_layerwise_rates_on_ranks_are_those_of_the_whole_batch(name):
    together, alone = train(ADAPTIVE[name]()), train(ADAPTIVE[name](), together=False)
    check_weights_agree(together, "at the end")
    assert distance(weights(together), weights(alone)) < ROUNDING


@pytest.mark.parametrize("name", ADAPTIVE)
def test_a_learning_rate_can_be_set_whatever_is_around_it(name):
    model = dense()
    model.compile(engine.distribute(ADAPTIVE[name]()), loss())
    turned = knobs.knobs_of(model)
    turned["learning_rate"].set(0.25)
    assert _rate.get_rate(model.optimizer) == turned["learning_rate"].get() == 0.25
    assert "momentum" in turned or "beta_1" in turned


# -- one optimizer after another -------------------------------------------------------------------

SWITCH, EPOCHS = 2, 4


def stages():
    return engine.Stages(
        {
            0: keras.optimizers.RMSprop(1e-3, epsilon=1e-3),
            SWITCH: keras.optimizers.SGD(0.05, momentum=0.9),
        }
    )


def resumable(group, path, epochs):
    keras.utils.set_random_seed(3)
    model = MODELS["dense"]()
    model.compile(engine.distribute(stages()), loss())
    x, y = samples("dense", STEPS, group.size)
    batches = data.from_arrays(x, y).shard(group, seed=5).batch(BATCH)
    callbacks = engine.callbacks("stages", checkpoint=path)
    model.fit(batches, epochs=epochs, verbose=0, callbacks=callbacks)
    return model


def test_stages_train_as_one_optimizer_and_then_the_other():
    together = train(stages(), epochs=EPOCHS)
    first, second = stages().optimizers
    alone = train(first, epochs=SWITCH, together=False)
    alone.compile(second, loss())
    x, y = samples("dense", STEPS, engine.current().size)
    batch = BATCH * engine.current().size
    alone.fit(x, y, batch_size=batch, epochs=EPOCHS - SWITCH, shuffle=False, verbose=0)
    check_weights_agree(together, "at the end")
    assert distance(weights(together), weights(alone)) < ROUNDING
    assert _rate.get_rate(together.optimizer) == pytest.approx(0.05)
    updates = [int(one.iterations) for one in together.optimizer.optimizers]
    assert updates == [SWITCH * STEPS, (EPOCHS - SWITCH) * STEPS]


@pytest.mark.parametrize("ends", [SWITCH, SWITCH + 1])
def test_a_training_resumed_around_the_switch_goes_on_as_if_nothing_had_been(
    ends, group, shared_path
):
    whole = resumable(group, shared_path / "whole.keras", EPOCHS)
    resumable(group, shared_path / "part.keras", ends)
    group.comm.Barrier()
    loaded = keras.models.load_model(shared_path / "part.keras")
    kind = keras.optimizers.SGD if ends > SWITCH else keras.optimizers.RMSprop
    assert isinstance(loaded.optimizer.in_charge(), kind)
    group.comm.Barrier()
    resumed = resumable(group, shared_path / "part.keras", EPOCHS)
    assert distance(weights(whole), weights(resumed)) == 0
    for one, other in zip(whole.optimizer.variables, resumed.optimizer.variables, strict=True):
        np.testing.assert_array_equal(
            keras.ops.convert_to_numpy(one.value), keras.ops.convert_to_numpy(other.value)
        )


def test_the_rate_that_is_set_is_that_of_the_stage_and_a_smaller_group_scales_all():
    model = dense()
    model.compile(engine.distribute(stages()), loss())
    scale_rates(model, 0.5)
    knob = knobs.knobs_of(model)["learning_rate"]
    assert knob.get() == pytest.approx(5e-4)
    model.optimizer.begin_epoch(SWITCH)
    assert knob.get() == pytest.approx(0.025)
    knob.set(0.3)
    rates = [float(one.learning_rate.numpy()) for one in model.optimizer.optimizers]
    assert rates == pytest.approx([5e-4, 0.3])


def test_a_warm_up_that_outlasts_its_stage_is_refused():
    with pytest.raises(ValueError, match=r"warm-up must end before.*warmup_epochs=3.*\(0, 2\)"):
        train(stages(), callbacks=engine.callbacks("stages", warmup_epochs=3))


def test_stages_begin_with_the_first_epoch():
    with pytest.raises(ValueError, match=r"must begin with epoch 0, but got epochs \(2,\)"):
        engine.Stages({2: "sgd"})


# -- normalisation over all ranks ------------------------------------------------------------------


def normalizing(kind=engine.SyncBatchNormalization):
    return keras.Sequential(
        [
            keras.Input((6,)),
            keras.layers.Reshape((3, 2)),
            keras.layers.Rescaling(1.0, offset=3.0),
            kind(momentum=0.5),
            keras.layers.Dense(4, activation="tanh"),
            kind(axis=1, momentum=0.5, center=False),
            keras.layers.Flatten(),
            keras.layers.Dense(4),
        ]
    )


def sgd():
    return keras.optimizers.SGD(0.1, momentum=0.9)


def plain_normalizing():
    return normalizing(keras.layers.BatchNormalization)


def test_synchronized_normalization_is_that_of_the_whole_batch(group):
    """Weights, so gradients, and moving statistics; ranks alone come out elsewhere."""
    together = train(sgd(), epochs=2, model=normalizing)
    alone = train(sgd(), epochs=2, together=False, model=plain_normalizing)
    check_weights_agree(together, "at the end")
    assert distance(weights(together), weights(alone)) < ROUNDING
    apart = train(sgd(), epochs=2, model=plain_normalizing)
    assert group.size == 1 or distance(weights(apart), weights(alone)) > 100 * ROUNDING


def test_a_layer_that_is_used_twice_in_a_step_is_synchronized_twice():
    class Twins(keras.Model):
        def __init__(self, kind):
            super().__init__()
            self.normalize, self.last = kind(), keras.layers.Dense(4)

        def call(self, x, training=False):
            one, other = self.normalize(x, training=training), self.normalize(-x, training=training)
            return self.last(one * one + other)

    together = train(sgd(), model=lambda: Twins(engine.SyncBatchNormalization))
    alone = train(sgd(), together=False, model=lambda: Twins(keras.layers.BatchNormalization))
    check_weights_agree(together, "at the end")
    statistics = [2, 3] if keras.backend.backend() == "tensorflow" else []
    for index, (one, other) in enumerate(zip(weights(together), weights(alone), strict=True)):
        if index not in statistics:
            np.testing.assert_allclose(one, other, atol=ROUNDING)


def test_masked_samples_and_batches_of_different_sizes_count_as_they_are(group):
    generator = np.random.default_rng(1)
    sizes = [2 + 3 * rank for rank in range(group.size)]
    parts = [generator.normal(size=(size, 4, 3)).astype("float32") + 100 for size in sizes]
    masks = [generator.integers(0, 2, (size, 4)) for size in sizes]
    layer = engine.SyncBatchNormalization(momentum=0.0)
    layer.build((None, 4, 3))
    layer.moving_mean.assign([99.0, 100.0, 101.0])
    layer.collective = "idl.normalization.test"
    layer(parts[group.rank], training=True, mask=keras.ops.cast(masks[group.rank], "bool"))
    counted = np.concatenate([part[mask == 1] for part, mask in zip(parts, masks, strict=True)])
    counted = counted.astype("float64")
    np.testing.assert_allclose(layer.moving_mean.numpy(), counted.mean(0), rtol=1e-6)
    np.testing.assert_allclose(layer.moving_variance.numpy(), counted.var(0), rtol=1e-4)


def test_a_model_is_copied_with_its_normalizations_synchronized(group, shared_path):
    plain = plain_normalizing()
    copy = engine.synchronize_batch_norm(plain)
    kinds = [type(layer) for layer in copy.layers]
    assert kinds.count(engine.SyncBatchNormalization) == 2
    assert keras.layers.BatchNormalization not in kinds
    assert distance(weights(plain), weights(copy)) == 0
    copy.compile(engine.distribute(sgd()), loss())
    if group.rank == 0:
        copy.save(shared_path / "copy.keras")
    group.comm.Barrier()
    loaded = keras.models.load_model(shared_path / "copy.keras")
    assert [type(layer) for layer in loaded.layers] == kinds


def test_ranks_that_normalize_otherwise_are_refused_on_every_rank(group):
    if group.size == 1:
        return
    model = normalizing if group.rank else plain_normalizing
    with pytest.raises(TrainingError, match="same synchronized normalizations.*rank 0: 0, rank 1"):
        train(sgd(), model=model)


# -- gradient lag ----------------------------------------------------------------------------------


def linear():
    return keras.Sequential([keras.Input((6,)), keras.layers.Dense(4, use_bias=False)])


def lagged():
    return engine.Lagged(sgd())


def lagged_by_hand(start, epochs):
    """Momentum SGD with the gradient before, on the mean squared distance to one-hot targets."""
    ranks = engine.current().size
    x, classes = samples("dense", STEPS, ranks)
    x, y = x.astype("float64"), np.eye(4)[classes]
    weight, velocity, waiting = start.astype("float64"), 0.0, 0.0
    for step in [*range(STEPS)] * epochs:
        part = slice(step * BATCH * ranks, (step + 1) * BATCH * ranks)
        gradient = x[part].T @ (x[part] @ weight - y[part]) * 2 / (4 * BATCH * ranks)
        velocity = 0.9 * velocity - 0.1 * waiting
        weight, waiting = weight + velocity, gradient
    return weight


def fit_lagged(optimizer, epochs=2):
    group = engine.current()
    x, classes = samples("dense", STEPS, group.size)
    y = np.eye(4, dtype="float32")[classes]
    keras.utils.set_random_seed(3)
    model = linear()
    start = weights(model)[0]
    model.compile(engine.distribute(optimizer), "mse")
    model.fit(
        my_part(x, group.rank, group.size),
        my_part(y, group.rank, group.size),
        batch_size=BATCH,
        epochs=epochs,
        shuffle=False,
        verbose=0,
        callbacks=engine.callbacks("lagged"),
    )
    return start, model


def test_lagged_training_follows_its_formula():
    start, model = fit_lagged(lagged())
    check_weights_agree(model, "at the end")
    by_hand = lagged_by_hand(start, epochs=2)
    np.testing.assert_allclose(weights(model)[0], by_hand, atol=ROUNDING)
    assert distance(weights(model), weights(fit_lagged(sgd())[1])) > 100 * ROUNDING


def test_lagged_gradients_travel_while_the_step_computes(monkeypatch):
    """On TensorFlow the reduction waits for nothing that the step computes; on torch it is in
    flight before the step computes anything.
    """
    happened, reduced = [], []

    class Layer(keras.layers.Dense):
        def call(self, inputs):
            happened.append("compute")
            return super().call(inputs)

    begin = _horovod.begin_reduce

    def note(framework, tensors, **options):
        happened.append("reduce")
        arrive = begin(framework, tensors, **options)
        if framework == "tensorflow":
            reduced.extend(arrive())
        return arrive

    monkeypatch.setattr(_horovod, "begin_reduce", note)
    train(
        lagged(),
        model=lambda: keras.Sequential([keras.Input((6,)), Layer(4)]),
    )
    assert happened[-2:] == ["reduce", "compute"]
    if keras.backend.backend() == "tensorflow":
        kinds = {operation.type for operation in before(reduced)}
        assert any("Horovod" in kind for kind in kinds)
        assert not {"MatMul", "IteratorGetNext", "Timestamp"} & kinds


def before(tensors):
    """All operations of a TensorFlow graph that must run before ``tensors`` are there."""
    found, pending = set(), [tensor.op for tensor in tensors]
    while pending:
        operation = pending.pop()
        if operation not in found:
            found.add(operation)
            pending += [*(one.op for one in operation.inputs), *operation.control_inputs]
    return found


def test_a_lagged_training_resumed_goes_on_as_if_nothing_had_been(group, shared_path):
    def fit(path, epochs):
        keras.utils.set_random_seed(3)
        model = dense()
        model.compile(engine.distribute(engine.Lagged(engine.Larc(sgd()))), loss())
        x, y = samples("dense", STEPS, group.size)
        batches = data.from_arrays(x, y).shard(group, seed=5).batch(BATCH)
        callbacks = engine.callbacks("lagged", checkpoint=path)
        model.fit(batches, epochs=epochs, verbose=0, callbacks=callbacks)
        group.comm.Barrier()
        return weights(model)

    whole = fit(shared_path / "whole.keras", 3)
    fit(shared_path / "part.keras", 1)
    assert distance(fit(shared_path / "part.keras", 3), whole) == 0


def test_a_command_reaches_a_lagged_training_after_the_step_that_carried_it(group):
    with scripted(ScriptedLine({2: [SetKnobs({"learning_rate": 0.02})]})) as line:
        model = train(lagged())
    assert _rate.get_rate(model.optimizer) == pytest.approx(0.02)
    if group.rank == 0:
        assert [one.step for one in line.of(events.CommandApplied)] == [2]


def test_lag_is_refused_where_it_would_be_wrong():
    with pytest.raises(ValueError, match="average or sum, but got op='adasum'"):
        engine.distribute(lagged(), op="adasum")
    with pytest.raises(ValueError, match="does not work under loss scaling"):
        engine.distribute(keras.optimizers.LossScaleOptimizer(engine.distribute(lagged())))


# -- messages between the ranks --------------------------------------------------------------------


def combined(values, op):
    mine = [keras.ops.convert_to_tensor(np.array(values, "float32"))]
    framework = _horovod.keras_framework()
    reduced = _horovod.reduce(framework, mine, name="half", op=op, compression="fp16")
    return keras.ops.convert_to_numpy(reduced[0])


def test_half_precision_holds_what_each_rank_could_hold_alone(group):
    """The sum of all ranks' 60,000 would be infinite."""
    assert combined([60_000.0], "average") == pytest.approx([60_000.0], rel=1e-3)
    assert combined([60_000.0], "sum") == pytest.approx([group.size * 60_000.0], rel=1e-3)


def test_what_is_too_large_is_cut_and_what_is_infinite_stays():
    mean = combined([1e9, -1e9, np.inf, np.nan], "average")
    assert np.isfinite(mean[:2]).all()
    assert mean[0] == -mean[1] >= 60_000
    assert not np.isfinite(mean[2:]).any()


@pytest.fixture
def tried(group, shared_path, monkeypatch):
    """Where Horovod notes what it tries, a line for every few steps; untuned afterwards."""
    monkeypatch.setenv("HOROVOD_AUTOTUNE_WARMUP_SAMPLES", "0")
    monkeypatch.setenv("HOROVOD_AUTOTUNE_STEPS_PER_SAMPLE", "1")
    yield shared_path / "tried.csv"
    engine.init(engines=range(group.size), tuning=engine.Tuning())


def itself(tried):
    return engine.Tuning(cycle_ms=1, autotune=True, autotune_log=str(tried))


@pytest.fixture
def trained(group):
    """Trains one model from where it began, and gives its weights: a step is compiled once."""
    x, y = samples("dense", STEPS, group.size)
    x, y = my_part(x, group.rank, group.size), my_part(y, group.rank, group.size)
    model = dense()
    model.compile(engine.distribute(keras.optimizers.SGD(0.1)), loss())
    begin = model.get_weights()

    def train_again():
        model.set_weights(begin)
        model.fit(x, y, batch_size=BATCH, epochs=3, shuffle=False, verbose=0)
        return weights(model)

    return train_again


def test_horovod_starts_again_whatever_it_was_tuned_to(group, tried, trained):
    everybody, untuned = range(group.size), trained()
    both = engine.Tuning(fusion_mb=1, cycle_ms=1)
    for tuning in (both, itself(tried), both):
        engine.init(engines=[group.rank], tuning=tuning)
        engine.init(engines=everybody)
        assert distance(trained(), untuned) < ROUNDING


def test_horovod_tunes_itself_at_each_start_that_asks_for_it_alone(group, tried, trained):
    everybody = range(group.size)
    for _ in range(2):
        engine.init(engines=everybody, tuning=itself(tried))
        trained()
        engine.init(engines=everybody, tuning=engine.Tuning(cycle_ms=1))
        names, *attempts = tried.read_text().splitlines()
        assert names.startswith("hierarchical_allreduce,")
        assert len(attempts) > 1
    trained()
    assert tried.read_text().splitlines() == [names, *attempts]


def test_a_group_is_tuned_as_its_rank_0_was(group, trained):
    own = engine.Tuning(cycle_ms=1 + group.rank, cache=group.rank)
    engine.init(engines=[group.rank], tuning=own)
    together = engine.init(engines=range(group.size))
    first = engine.Tuning(cycle_ms=1, cache=0).environment()
    assert together.allgather(_tuning.variables()) == [first] * group.size
    trained()
    engine.init(engines=range(group.size), tuning=engine.Tuning())


def test_tunings_that_differ_are_refused_on_every_rank(group):
    if group.size > 1:
        with pytest.raises(ValueError, match="same tuning, but got, by rank:.*cycle_ms=1"):
            engine.init(engines=range(group.size), tuning=engine.Tuning(cycle_ms=group.rank))
