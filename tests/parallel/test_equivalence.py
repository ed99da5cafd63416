"""N ranks with batch b train as one process with batch N*b does, bit for bit alike on all ranks."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from models import BATCH, MODELS, distance, loss, my_part, samples, weights

from interactive_dl import data, engine
from interactive_dl.engine._agreement import check_weights_agree
from interactive_dl.engine._reduction import reduction_of

STEPS = 6
ROUNDING = 3e-6


def sgd(**options) -> keras.optimizers.Optimizer:
    return keras.optimizers.SGD(0.1, momentum=0.9, **options)


def train_alone(name, optimizer, steps=STEPS, batch_factor=1):
    """One process on the global batches; every rank does it by itself."""
    ranks = engine.current().size
    x, y = samples(name, steps, ranks)
    keras.utils.set_random_seed(3)
    model = MODELS[name]()
    model.compile(optimizer, loss())
    model.fit(x, y, batch_size=BATCH * ranks // batch_factor, shuffle=False, verbose=0)
    return model


def train_together(name, optimizer, steps=STEPS, run_eagerly=False, **options):
    group = engine.current()
    x, y = samples(name, steps, group.size)
    keras.utils.set_random_seed(3)
    model = MODELS[name]()
    model.compile(engine.distribute(optimizer, **options), loss(), run_eagerly=run_eagerly)
    model.fit(
        my_part(x, group.rank, group.size),
        my_part(y, group.rank, group.size),
        batch_size=BATCH,
        shuffle=False,
        verbose=0,
        callbacks=engine.callbacks("equivalence"),
    )
    check_weights_agree(model, "at the end")
    return model


@pytest.mark.parametrize("name", MODELS)
def test_momentum_sgd_on_ranks_equals_one_process(name):
    assert distance(weights(train_together(name, sgd())), weights(train_alone(name, sgd()))) < (
        ROUNDING
    )


@pytest.mark.parametrize(
    "clipping", [{"clipnorm": 0.05}, {"global_clipnorm": 0.1}, {"clipvalue": 0.01}]
)
def test_gradients_are_averaged_before_they_are_clipped(clipping):
    together = weights(train_together("dense", sgd(**clipping)))
    assert distance(together, weights(train_alone("dense", sgd(**clipping)))) < ROUNDING
    assert distance(together, weights(train_alone("dense", sgd()))) > 100 * ROUNDING


def test_gradient_accumulation_equals_one_process():
    together = train_together("dense", sgd(), gradient_accumulation_steps=3)
    alone = train_alone("dense", sgd(gradient_accumulation_steps=3))
    assert distance(weights(together), weights(alone)) < ROUNDING


def test_adam_with_weight_decay_equals_one_process():
    def adam():
        return keras.optimizers.AdamW(1e-3, weight_decay=0.01, epsilon=1e-3)

    assert (
        distance(weights(train_together("dense", adam())), weights(train_alone("dense", adam())))
        < 10 * ROUNDING
    )


OPTIMIZERS = (
    "Adadelta",
    "Adafactor",
    "Adagrad",
    "Adam",
    "Adamax",
    "Ftrl",
    "Lamb",
    "Lion",
    "Muon",
    "Nadam",
    "RMSprop",
    "ScheduleFreeAdamW",
)


def test_an_optimizer_made_of_others_reduces():
    def nested():
        return keras.optimizers.MultiOptimizer(keras.optimizers.OptimizerMap(sgd()))

    together, alone = train_together("dense", nested()), train_alone("dense", nested())
    assert distance(weights(together), weights(alone)) < ROUNDING


def test_no_optimizer_of_keras_is_left_untried():
    kinds = vars(keras.optimizers).items()
    every = {
        name
        for name, kind in kinds
        if isinstance(kind, type) and issubclass(kind, keras.optimizers.Optimizer)
    }
    elsewhere = {"Optimizer", "SGD", "AdamW", "LossScaleOptimizer", "MultiOptimizer"}
    assert every <= {*OPTIMIZERS, *elsewhere}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_keeps_ranks_alike_and_learns(name):
    trained = train_together("dense", getattr(keras.optimizers, name)(1e-2), steps=2)
    keras.utils.set_random_seed(3)
    untrained = MODELS["dense"]()
    assert distance(weights(untrained), weights(trained)) > 1e-5


def test_sum_adds_what_average_divides(group):
    together = train_together("dense", keras.optimizers.SGD(0.1), op="sum")
    alone = train_alone("dense", keras.optimizers.SGD(0.1 * group.size))
    assert distance(weights(together), weights(alone)) < group.size * ROUNDING


def test_half_precision_on_the_wire_stays_near_and_alike():
    together = weights(train_together("dense", sgd(), compression="fp16"))
    difference = distance(together, weights(train_alone("dense", sgd())))
    assert difference < 5e-3
    assert engine.current().size == 1 or difference > 0


def adasum(vectors):
    """Pair rule a (1 - a.b / 2|a|^2) + b (1 - a.b / 2|b|^2), applied as a binary tree."""
    if len(vectors) == 1:
        return vectors[0]
    half = len(vectors) // 2
    a, b = adasum(vectors[:half]), adasum(vectors[half:])
    return a * (1 - a @ b / (2 * a @ a)) + b * (1 - a @ b / (2 * b @ b))


def test_adasum_follows_its_formula(group):
    from interactive_dl.engine import _horovod

    vectors = np.random.default_rng(5).normal(size=(group.size, 7)).astype("float32")
    mine = keras.ops.convert_to_tensor(vectors[group.rank])
    framework = _horovod.keras_framework()
    (combined,) = _horovod.reduce(framework, [mine], name="adasum", op="adasum", compression="none")
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(combined), adasum(list(vectors)), rtol=1e-4, atol=1e-6
    )


def test_training_with_adasum_keeps_ranks_alike():
    train_together("dense", sgd(), op="adasum")


def mixed(optimizer):
    return keras.optimizers.LossScaleOptimizer(optimizer, initial_scale=2.0**10)


def with_mixed_precision(train, *args, **kwargs):
    keras.mixed_precision.set_global_policy("mixed_float16")
    try:
        return train(*args, **kwargs)
    finally:
        keras.mixed_precision.set_global_policy("float32")


@pytest.mark.parametrize("wrapped", ["by compile", "by the user"])
def test_loss_scaling_stays_near_one_process(wrapped):
    wrap = mixed if wrapped == "by the user" else lambda optimizer: optimizer
    together = with_mixed_precision(train_together, "dense", wrap(sgd()))
    assert type(together.optimizer) is keras.optimizers.LossScaleOptimizer
    alone = with_mixed_precision(train_alone, "dense", wrap(sgd()))
    assert distance(weights(together), weights(alone)) < 5e-3


@pytest.mark.parametrize("wrapped", ["by compile", "by the user"])
def test_an_overflow_on_one_rank_makes_all_ranks_skip_the_step(wrapped, group):
    """Were rank 0's gradients checked before the reduction, the other ranks would wait for ever."""

    def train():
        optimizer = keras.optimizers.SGD(0.1)
        model = MODELS["dense"]()
        model.compile(
            engine.distribute(mixed(optimizer) if wrapped == "by the user" else optimizer), loss()
        )
        x, y = samples("dense", 1, 1)
        x = x * (np.inf if group.rank == 0 else 1.0)
        before = weights(model)
        model.fit(x, y, batch_size=BATCH, verbose=0, callbacks=engine.callbacks("overflow")[:2])
        return before, model

    before, model = with_mixed_precision(train)
    assert distance(before, weights(model)) == 0
    scales = group.allgather(float(keras.ops.convert_to_numpy(model.optimizer.dynamic_scale)))
    assert len(set(scales)) == 1
    assert scales[0] == model.optimizer.initial_scale / 2


@pytest.mark.parametrize("jit_compile", ["auto", True])
def test_xla_does_not_compile_a_step_that_reduces(jit_compile, monkeypatch):
    """It has no Horovod collectives; with GPUs about, Keras chooses it by itself."""
    monkeypatch.setattr(keras.Model, "_resolve_auto_jit_compile", lambda self: True)
    x, y = samples("dense", 1, 1)
    model = MODELS["dense"]()
    model.compile(engine.distribute("sgd"), loss(), jit_compile=jit_compile)
    model.train_on_batch(x, y)
    assert not model.jit_compile


def test_loss_scaling_of_the_first_model_of_a_process_is_seen():
    """``model.compile(distribute(...))`` looks ``compile`` up before ``distribute`` can wrap it."""
    x, y = samples("dense", 1, 1)

    def train():
        model = MODELS["dense"]()
        model.compile(engine.distribute("sgd"), loss())
        model.train_on_batch(x, y)
        return model.optimizer

    optimizer = with_mixed_precision(train)
    assert reduction_of(optimizer) is not None
    assert reduction_of(optimizer.inner_optimizer) is None


def lazily_built(subclass):
    """A model whose weights do not exist before Keras has seen data."""

    class Lazy(keras.Model):
        def __init__(self):
            super().__init__()
            self.first, self.second = keras.layers.Dense(5), keras.layers.Dense(4)

        def call(self, inputs):
            return self.second(self.first(inputs))

    return Lazy() if subclass else keras.Sequential([keras.layers.Dense(4)])


@pytest.mark.parametrize("subclass", [True, False], ids=["subclass", "sequential"])
def test_weights_that_come_with_the_data_begin_alike(subclass, group):
    keras.utils.set_random_seed(100 + group.rank)
    model = lazily_built(subclass)
    model.compile(engine.distribute("adam"), loss())
    x, y = samples("dense", STEPS, group.size)
    batches = data.from_arrays(x, y).shard(group).batch(BATCH)
    model.fit(batches, epochs=2, verbose=0, callbacks=engine.callbacks("lazy"))
    check_weights_agree(model, "at the end")


def test_a_model_fitted_before_it_was_distributed_reduces_from_then_on(group):
    x, y = samples("dense", STEPS, group.size)
    model = MODELS["dense"]()
    model.compile("sgd", loss())
    model.fit(x, y, verbose=0)
    engine.distribute(model.optimizer)
    x, y = my_part(x, group.rank, group.size), my_part(y, group.rank, group.size)
    model.fit(x, y, batch_size=BATCH, verbose=0, callbacks=engine.callbacks("late"))


@pytest.mark.parametrize("name", ["class_weight", "sample_weight"])
def test_weights_that_keras_would_drop_are_refused(name, group):
    model = MODELS["dense"]()
    model.compile(engine.distribute("sgd"), loss())
    x, y = samples("dense", STEPS, group.size)
    batches = data.from_arrays(x, y).shard(group).batch(BATCH)
    with pytest.raises(ValueError, match=f"fit got {name}.*batches.map"):
        model.fit(batches, verbose=0, **{name: {0: 2.0}})


def test_two_optimizers_in_one_step_both_reduce(group):
    """As in an adversarial training: each has variables of its own and a turn of its own."""

    class Alternating(keras.Model):
        def __init__(self):
            super().__init__()
            self.parts = [keras.layers.Dense(4), keras.layers.Dense(4)]
            self.turns = [engine.distribute("adam"), engine.distribute("sgd")]
            for layer in self.parts:
                layer.build((None, 6))

        def call(self, inputs):
            return self.parts[0](inputs) + self.parts[1](inputs)

        def train_step(self, *batch):
            x, y, _ = keras.utils.unpack_x_y_sample_weight(batch[-1])
            for layer, optimizer in zip(self.parts, self.turns, strict=True):
                variables = layer.trainable_variables
                optimizer.apply(gradients_of(self, x, y, variables), variables)
            return {"loss": keras.ops.zeros(())}

    model = Alternating()
    model.compile(loss=loss())
    x, y = samples("dense", STEPS, group.size)
    x, y = my_part(x, group.rank, group.size), my_part(y, group.rank, group.size)
    model.fit(x, y, batch_size=BATCH, verbose=0, callbacks=engine.callbacks("alternating"))
    check_weights_agree(model, "at the end")


def gradients_of(model, x, y, variables):
    if keras.backend.backend() == "torch":
        model.zero_grad()
        model.compute_loss(x, y, model(x)).backward()
        return [variable.value.grad for variable in variables]
    import tensorflow as tf

    with tf.GradientTape() as tape:
        value = model.compute_loss(x, y, model(x))
    return tape.gradient(value, variables)


def test_unknown_options_are_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="average, sum, adasum.*'mean'"):
        engine.distribute("sgd", op="mean")
    with pytest.raises(ValueError, match="none, fp16.*'bf16'"):
        engine.distribute("sgd", compression="bf16")
