"""Plain Horovod cells, verbatim, train as one process does: they reduce, or they raise."""

from __future__ import annotations

import os
import sys

import keras
import numpy as np
import pytest
from models import BATCH, dense, distance, loss, my_part, samples, weights

from interactive_dl import engine
from interactive_dl.engine._noise import generators
from interactive_dl.errors import DriftError, NotReducedError

STEPS = 4

CLASSIC_CELL = """
import keras
import {module} as hvd

hvd.init()
opt = keras.optimizers.SGD(0.1 * hvd.size(), momentum=0.9)
opt = hvd.DistributedOptimizer(opt)
model = build()
model.compile(loss=loss(), optimizer=opt, metrics=["accuracy"])
callbacks = [
    hvd.callbacks.BroadcastGlobalVariablesCallback(0),
    hvd.callbacks.MetricAverageCallback(),
    hvd.callbacks.LearningRateWarmupCallback({warmup}),
]
if hvd.rank() == 0:
    callbacks.append(keras.callbacks.ModelCheckpoint(path))
history = model.fit(x, y, batch_size=8, epochs=2, shuffle=False, verbose=0, callbacks=callbacks)
"""

TENSORFLOW_CELL = """
import tensorflow as tf
import horovod.tensorflow as hvd

hvd.init()
model = build()
opt = tf.keras.optimizers.SGD(0.1)

@tf.function
def step(images, labels, first_batch):
    with tf.GradientTape() as tape:
        value = loss()(labels, model(images, training=True))
    tape = hvd.DistributedGradientTape(tape)
    grads = tape.gradient(value, model.trainable_variables)
    opt.apply_gradients(zip(grads, model.trainable_variables))
    return value

for number in range(len(x) // 8):
    part = slice(8 * number, 8 * number + 8)
    if number == 0:
        hvd.broadcast_variables(model.variables, root_rank=0)
    step(x[part], y[part], number == 0)
"""

TORCH_CELL = """
import torch
import horovod.torch as hvd

hvd.init()
torch.manual_seed(hvd.rank())
net = torch.nn.Sequential(torch.nn.Linear(6, 5), torch.nn.Tanh(), torch.nn.Linear(5, 4))
opt = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
opt = hvd.DistributedOptimizer(opt, named_parameters=net.named_parameters())
hvd.broadcast_parameters(net.state_dict(), root_rank=0)
hvd.broadcast_optimizer_state(opt, root_rank=0)
start = [p.detach().clone() for p in net.parameters()]
for number in range(len(x) // 8):
    part = slice(8 * number, 8 * number + 8)
    opt.zero_grad()
    output = net(torch.tensor(x[part]))
    torch.nn.functional.cross_entropy(output, torch.tensor(y[part])).backward()
    opt.step()
"""


def data(group):
    x, y = samples("dense", STEPS, group.size)
    return my_part(x, group.rank, group.size), my_part(y, group.rank, group.size)


def run_cell(cell, group, seed=3, **names):
    keras.utils.set_random_seed(seed)
    x, y = data(group)
    namespace = {"build": dense, "loss": loss, "x": x, "y": y, **names}
    exec(compile(cell, "<cell>", "exec"), namespace)
    return namespace


def alone(rate, group, epochs, momentum=0.9):
    x, y = samples("dense", STEPS, group.size)
    keras.utils.set_random_seed(3)
    model = dense()
    model.compile(keras.optimizers.SGD(rate, momentum=momentum), loss())
    model.fit(x, y, batch_size=BATCH * group.size, epochs=epochs, shuffle=False, verbose=0)
    return model


@pytest.mark.parametrize("module", ["horovod.keras", "horovod.tensorflow.keras"])
def test_the_classic_keras_cell_trains_as_one_process(group, shared_path, module):
    """A warm-up that is over at once leaves the scaled rate, as one process would use it."""
    cell = CLASSIC_CELL.format(module=module, warmup="initial_lr=0.1 * hvd.size(), warmup_epochs=0")
    model = run_cell(cell, group, path=str(shared_path / "classic.keras"))["model"]
    assert distance(weights(model), weights(alone(0.1 * group.size, group, 2))) < 1e-5
    assert len({array.tobytes() for array in group.allgather(weights(model)[0])}) == 1


def test_the_classic_cell_warms_up_without_an_initial_rate_too(group, shared_path):
    cell = CLASSIC_CELL.format(module="horovod.keras", warmup="warmup_epochs=1, verbose=1")
    names = run_cell(cell, group, seed=50 + group.rank, path=str(shared_path / "warm.keras"))
    model = names["model"]
    assert len({array.tobytes() for array in group.allgather(weights(model)[0])}) == 1
    assert float(model.optimizer.learning_rate) == pytest.approx(0.1 * group.size)
    losses = group.allgather(names["history"].history["loss"])
    assert all(other == losses[0] for other in losses)


def test_a_loaded_model_goes_on_reducing_with_its_optimizers_state(group, shared_path):
    path = shared_path / "load.keras"
    cell = CLASSIC_CELL.format(module="horovod.keras", warmup="warmup_epochs=0")
    names = run_cell(cell, group, path=str(path))
    group.comm.Barrier()
    model = names["hvd"].load_model(path)
    assert int(model.optimizer.iterations) == 2 * STEPS
    x, y = data(group)
    for trained in (model, names["model"]):
        trained.fit(x, y, batch_size=BATCH, shuffle=False, verbose=0)
    assert distance(weights(model), weights(names["model"])) == 0
    assert distance(weights(model), weights(alone(0.1 * group.size, group, 3))) < 1e-5


def test_the_classic_broadcast_leaves_each_rank_random_numbers_of_its_own(group):
    import horovod.keras as hvd

    model = keras.Sequential([keras.Input((6,)), keras.layers.Dropout(0.5), keras.layers.Dense(4)])
    model.compile(hvd.DistributedOptimizer(keras.optimizers.SGD(0.1)), loss())
    x, y = data(group)
    broadcast = hvd.callbacks.BroadcastGlobalVariablesCallback(0)
    model.fit(x[:BATCH], y[:BATCH], verbose=0, callbacks=[broadcast])
    (generator,) = generators(model)
    state = np.asarray(keras.ops.convert_to_numpy(generator.value)).tobytes()
    assert len(set(group.allgather(state))) == group.size


def test_a_scheduled_rate_is_multiplied_per_epoch(group):
    import horovod.keras as hvd

    model = dense()
    model.compile(hvd.DistributedOptimizer(keras.optimizers.SGD(0.4, momentum=0.9)), loss())
    x, y = data(group)
    schedule = hvd.callbacks.LearningRateScheduleCallback(
        initial_lr=0.4, multiplier=0.5, start_epoch=1, end_epoch=3
    )
    history = model.fit(x, y, batch_size=BATCH, epochs=4, verbose=0, callbacks=[schedule])
    np.testing.assert_allclose(history.history["lr"], [0.4, 0.4, 0.2, 0.2], rtol=1e-6)


@pytest.mark.skipif(
    os.environ.get("KERAS_BACKEND", "tensorflow") != "tensorflow", reason="a TensorFlow cell"
)
def test_a_plain_tensorflow_loop_trains_as_one_process(group):
    model = run_cell(TENSORFLOW_CELL, group)["model"]
    assert distance(weights(model), weights(alone(0.1, group, 1, momentum=0.0))) < 1e-5


def test_a_plain_torch_loop_trains_as_one_process(group):
    import torch

    names = run_cell(TORCH_CELL, group)
    net = torch.nn.Sequential(torch.nn.Linear(6, 5), torch.nn.Tanh(), torch.nn.Linear(5, 4))
    with torch.no_grad():
        for parameter, value in zip(net.parameters(), names["start"], strict=True):
            parameter.copy_(value)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    x, y = samples("dense", STEPS, group.size)
    batch = BATCH * group.size
    for start in range(0, len(x), batch):
        optimizer.zero_grad()
        output = net(torch.tensor(x[start : start + batch]))
        torch.nn.functional.cross_entropy(output, torch.tensor(y[start : start + batch])).backward()
        optimizer.step()
    for mine, theirs in zip(names["net"].parameters(), net.parameters(), strict=True):
        assert float((mine - theirs).abs().max()) < 1e-5


def test_plain_init_joins_the_group_that_is_there(group):
    import horovod.tensorflow as hvd

    hvd.init()
    assert hvd.size() == group.size
    assert engine.current() is group


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"backward_passes_per_step": 2}, "asks for their sum"),
        ({"compression": sys}, "hvd.Compression.none or .fp16"),
        ({"op": 77}, "hvd.Average, hvd.Sum or hvd.Adasum"),
    ],
)
def test_what_cannot_be_reduced_is_refused(options, text):
    import horovod.keras as hvd

    with pytest.raises(NotReducedError, match=text):
        hvd.DistributedOptimizer(keras.optimizers.SGD(0.1), **options)


def test_a_classic_cell_whose_optimizer_is_not_distributed_raises(group):
    if group.size == 1:
        return  # one rank cannot drift from itself
    import horovod.keras as hvd

    x, y = samples("dense", STEPS, group.size)
    mine = [my_part(part, group.rank, group.size) for part in (x, y)]
    model = dense()
    model.compile(keras.optimizers.SGD(0.1), loss())
    callback = hvd.callbacks.BroadcastGlobalVariablesCallback(0)
    with pytest.raises(DriftError, match="not distributed"):
        model.fit(*mine, batch_size=BATCH, verbose=0, callbacks=[callback])
