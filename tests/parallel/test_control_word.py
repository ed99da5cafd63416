"""The control word: what one rank flags before a step, all ranks know after it."""

import keras
import numpy as np
import pytest
from models import BATCH, MODELS, loss, my_part, samples

from interactive_dl import engine
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


def test_a_slow_rank_shows_in_its_own_time_and_in_the_others_waiting(group: engine.Group) -> None:
    import time

    delay_s = 0.05

    class Slow(keras.layers.Layer):
        def call(self, x: object) -> object:
            if group.rank != group.size - 1:
                return x
            if keras.backend.backend() == "torch":
                time.sleep(delay_s)
                return x
            import tensorflow as tf

            def wait(value: np.ndarray) -> np.ndarray:
                time.sleep(delay_s)
                return value

            waited = tf.numpy_function(wait, [tf.stop_gradient(x)], tf.float32)
            waited.set_shape(x.shape)
            return x + 0 * waited

    x, y = samples("dense", STEPS, group.size)
    inner = MODELS["dense"]()
    model = keras.Sequential([keras.Input((6,)), Slow(), *inner.layers])
    model.compile(engine.distribute(keras.optimizers.SGD(0.1)), loss())
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
