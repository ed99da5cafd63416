"""The control word: what one rank flags before a step, all ranks know after it."""

import os
import threading
import time
from pathlib import Path

import keras
import numpy as np
import pytest
from models import BATCH, MODELS, loss, my_part, samples

from interactive_dl import data, engine
from interactive_dl.engine import _control, _phases
from interactive_dl.engine._control import NOTHING, Flag

STEPS = 6


class Flags(keras.callbacks.Callback):
    """Raises flags before steps and notes which ones come back."""

    def __init__(self, raised: dict[int, Flag]) -> None:
        super().__init__()
        self.raised = raised
        self.seen: list[Flag] = []

    def on_train_batch_begin(self, batch: int, logs: object = None) -> None:
        _control.word().raise_flag(self.raised.get(batch, NOTHING))
        _control.word().load()

    def on_train_batch_end(self, batch: int, logs: object = None) -> None:
        self.seen.append(_control.word().take())


def seen(group: engine.Group, raised: dict[int, Flag], **options: object) -> list[Flag]:
    x, y = samples("dense", STEPS, group.size)
    model = MODELS["dense"]()
    model.compile(engine.distribute(keras.optimizers.SGD(0.1), **options), loss())
    _control.word().forget()
    flags = Flags(raised)
    mine = [my_part(part, group.rank, group.size) for part in (x, y)]
    model.fit(*mine, batch_size=BATCH, verbose=0, shuffle=False, callbacks=[flags])
    return flags.seen


@pytest.mark.parametrize("compression", ["none", "fp16"])
@pytest.mark.parametrize("op", ["average", "sum"])
def test_all_ranks_see_a_flag_after_the_step_that_carried_it(
    group: engine.Group, op: str, compression: str
) -> None:
    last = group.size - 1
    raised = {1: Flag.INTERRUPT} if group.rank == last else {}
    if group.rank == 0:
        raised = {**raised, 3: Flag.COMMAND | Flag.REPORT}
    expected = [NOTHING] * STEPS
    expected[1] |= Flag.INTERRUPT
    expected[3] |= Flag.COMMAND | Flag.REPORT
    assert seen(group, raised, op=op, compression=compression) == expected


def test_adasum_carries_the_word_too(group: engine.Group) -> None:
    raised = {2: Flag.COMMAND} if group.rank == 0 else {}
    assert seen(group, raised, op="adasum")[2] == Flag.COMMAND


def test_accumulated_gradients_travel_once_per_update_and_flags_with_them(
    group: engine.Group,
) -> None:
    raised = {0: Flag.COMMAND} if group.rank == 0 else {}
    found = seen(group, raised, gradient_accumulation_steps=3)
    assert found == [NOTHING, NOTHING, Flag.COMMAND, NOTHING, NOTHING, NOTHING]


def test_the_word_changes_no_weight(group: engine.Group) -> None:
    def trained(raised: dict[int, Flag]) -> list[np.ndarray]:
        keras.utils.set_random_seed(3)
        x, y = samples("dense", STEPS, group.size)
        model = MODELS["dense"]()
        model.compile(engine.distribute(keras.optimizers.Adam(0.1)), loss())
        mine = [my_part(part, group.rank, group.size) for part in (x, y)]
        model.fit(*mine, batch_size=BATCH, verbose=0, shuffle=False, callbacks=[Flags(raised)])
        return [np.array(value) for value in model.get_weights()]

    flagged = trained(dict.fromkeys(range(STEPS), Flag.REPORT))
    assert all(np.array_equal(a, b) for a, b in zip(trained({}), flagged, strict=True))


class Clocked(keras.callbacks.Callback):
    def on_train_batch_begin(self, batch: int, logs: object = None) -> None:
        _phases.clock().begin()

    def on_train_batch_end(self, batch: int, logs: object = None) -> None:
        _phases.clock().end()
        if batch == 0:
            _phases.clock().take()
        _phases.clock().callbacks_done()


class Slow(keras.layers.Layer):
    """Computes for so many seconds."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds

    def call(self, x: object) -> object:
        if keras.backend.backend() == "torch":
            time.sleep(self.seconds)
            return x
        import tensorflow as tf

        def wait(value: np.ndarray) -> np.ndarray:
            time.sleep(self.seconds)
            return value

        waited = tf.numpy_function(wait, [tf.stop_gradient(x)], tf.float32)
        waited.set_shape(x.shape)
        return x + 0 * waited


def slowly(seconds: float) -> keras.Model:
    """A model whose steps take so long."""
    model = keras.Sequential([keras.Input((6,)), Slow(seconds), *MODELS["dense"]().layers])
    model.compile(engine.distribute(keras.optimizers.SGD(0.1)), loss())
    return model


def test_a_slow_rank_shows_in_its_own_time_and_in_the_others_waiting(group: engine.Group) -> None:
    delay_s = 0.05
    x, y = samples("dense", STEPS, group.size)
    model = slowly(delay_s if group.rank == group.size - 1 else 0)
    _phases.clock().restart()
    mine = [my_part(part, group.rank, group.size) for part in (x, y)]
    model.fit(*mine, batch_size=BATCH, verbose=0, shuffle=False, callbacks=[Clocked()])
    phases = group.allgather(_phases.clock().take())
    assert [one.steps for one in phases] == [STEPS - 1] * group.size
    slow = phases[-1]
    assert slow.compute_s >= delay_s
    assert slow.allreduce_wait_s < delay_s / 2
    for other in phases[:-1]:
        assert other.allreduce_wait_s > delay_s / 2
        assert other.compute_s < delay_s / 2
    steps_s = [one.step_s for one in phases]
    assert max(steps_s) - min(steps_s) < delay_s / 2


class Turnstile:
    """What a reader passes for each batch: a pipe, out of which it takes a byte."""

    MANY = 1000

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self._pipe = os.open(path, os.O_RDWR)  # opened to write only, it would wait for the reader

    def let(self, batches: int) -> None:
        """Let the reader pass so many times, now or when it comes."""
        os.write(self._pipe, bytes(batches))

    def close(self) -> None:
        """Let it pass no more."""
        os.read(self._pipe, self.MANY)

    def __enter__(self) -> "Turnstile":
        self.let(self.MANY)
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._pipe)


class Epochs(Clocked):
    """Notes the phases of each epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.phases: list[_phases.Phases] = []

    def on_epoch_end(self, epoch: int, logs: object = None) -> None:
        self.phases.append(_phases.clock().take())


class SlowLater(Epochs):
    """Has the reader wait in the second epoch: for each batch as long as some steps of the first
    have taken.
    """

    STEPS_OF_WAIT = 4

    def __init__(self, reader: Turnstile) -> None:
        super().__init__()
        self.reader = reader

    def on_epoch_begin(self, epoch: int, logs: object = None) -> None:
        if epoch:
            self.reader.close()
            self.reader.let(1)

    def on_train_batch_end(self, batch: int, logs: object = None) -> None:
        super().on_train_batch_end(batch)
        if self.phases and batch < STEPS - 1:
            wait_s = self.STEPS_OF_WAIT * self.phases[0].step_s
            threading.Timer(wait_s, self.reader.let, [1]).start()


def test_a_slow_reader_shows_in_the_wait_for_data_and_one_that_is_not_does_not(
    group: engine.Group, tmp_path: Path
) -> None:
    entrance, trainer = tmp_path / "turnstile", os.getpid()

    def read(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, ...]:
        if os.getpid() != trainer:  # TensorFlow has the trainer read a batch, for its shape
            with entrance.open("rb", buffering=0) as pipe:
                pipe.read(1)
        return x, y

    shard = data.from_arrays(*samples("dense", STEPS, group.size)).shard(group)
    batches = shard.batch(BATCH, readers=1).map(read)
    _phases.clock().restart()
    with Turnstile(entrance) as reader:
        epochs = SlowLater(reader) if group.rank == group.size - 1 else Epochs()
        slowly(0.03).fit(batches, epochs=2, verbose=0, callbacks=[epochs])
    first, second = zip(*group.allgather(epochs.phases), strict=True)
    assert all(one.data_wait_s < one.compute_s for one in first)
    *others, slow = second
    assert slow.data_wait_s > slow.step_s / 2
    assert all(one.allreduce_wait_s > one.step_s / 2 for one in others)


def test_computing_is_not_taken_for_waiting(group: engine.Group) -> None:
    class Heavy(keras.layers.Layer):
        def build(self, _shape: object) -> None:
            self.kernel = self.add_weight(shape=(800, 800))

        def call(self, x: object) -> object:
            product = self.kernel + keras.ops.mean(x)
            for _ in range(6):
                product = keras.ops.matmul(product, self.kernel) / 800
            return x + keras.ops.mean(product)

    x, y = samples("dense", STEPS, group.size)
    model = keras.Sequential([keras.Input((6,)), Heavy(), *MODELS["dense"]().layers])
    model.compile(engine.distribute(keras.optimizers.SGD(1e-6)), loss())
    _phases.clock().restart()
    mine = [my_part(part, group.rank, group.size) for part in (x, y)]
    model.fit(*mine, batch_size=BATCH, verbose=0, shuffle=False, callbacks=[Clocked()])
    for phases in group.allgather(_phases.clock().take()):
        assert phases.compute_s > 3 * phases.data_wait_s
        assert phases.compute_s + phases.allreduce_wait_s > 0.8 * phases.step_s
