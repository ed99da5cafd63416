"""SIGINT during a distributed training stops all ranks after one step, and costs nothing else."""

import os
import signal
import threading

import keras
import numpy as np
import pytest
from lines import ScriptedLine, scripted
from models import BATCH, dense, distance, loss, samples, weights

from interactive_dl import data, engine
from interactive_dl.telemetry import events

STEPS = 20
INTERRUPTS = 35


class Steps(keras.callbacks.Callback):
    """Counts steps; starts ``timer`` when ``fit`` gets its callbacks."""

    def __init__(self, timer: threading.Timer | None = None) -> None:
        super().__init__()
        self.count = 0
        self.timer = timer

    def set_model(self, model) -> None:
        super().set_model(model)
        if self.timer is not None:
            self.timer.start()

    def on_train_batch_end(self, batch, logs=None) -> None:
        self.count += 1


def compiled(group):
    model = dense()
    model.compile(engine.distribute(keras.optimizers.Adam(1e-3)), loss())
    x, y = samples("dense", STEPS, group.size)
    return model, data.from_arrays(x, y).shard(group).batch(BATCH)


def fit(model, batches, *, epochs, line=None, timer=None, **options):
    steps = Steps(timer)
    with scripted(line or ScriptedLine({})):
        try:
            model.fit(
                batches,
                epochs=epochs,
                verbose=0,
                callbacks=[steps, *engine.callbacks("interrupted", **options)],
            )
        except KeyboardInterrupt as error:
            return steps.count, str(error)
    return steps.count, None


def test_random_interrupts_of_one_rank_or_all_stop_all_ranks_after_the_same_step(group) -> None:
    chance = np.random.default_rng(int(group.broadcast(np.random.randint(2**31))))
    model, batches = compiled(group)
    fit(model, batches, epochs=1)
    for _ in range(INTERRUPTS):
        whole = chance.integers(3) == 0
        victim = int(chance.integers(group.size))
        delay_s = float(chance.uniform(0, 0.15))
        timer = threading.Timer(delay_s, os.kill, (os.getpid(), signal.SIGINT))
        line = ScriptedLine({})
        mine = timer if whole or victim == group.rank else None
        count, said = fit(model, batches, epochs=100_000, line=line, timer=mine)
        assert said is not None
        assert f"stopped on all {group.size} ranks after step" in said
        counts = group.allgather(count)
        assert counts == [count] * group.size
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        if group.rank == 0:
            (ended,) = line.of(events.Ended)
            assert (ended.outcome, ended.step) == ("interrupted", count)
    everyone = group.allgather(weights(model))
    assert all(distance(other, everyone[0]) == 0 for other in everyone)
    assert fit(model, batches, epochs=2) == (2 * STEPS, None)


def test_an_interrupted_training_is_resumed_from_where_it_stopped(group, shared_path) -> None:
    path = shared_path / "interrupted.keras"

    class Interrupt(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None) -> None:
            if group.rank == group.size - 1 and batch == STEPS // 2:
                os.kill(os.getpid(), signal.SIGINT)

    model, batches = compiled(group)
    with scripted(ScriptedLine({})), pytest.raises(KeyboardInterrupt):
        model.fit(
            batches,
            epochs=2,
            verbose=0,
            callbacks=[Interrupt(), *engine.callbacks("run", checkpoint=path)],
        )
    again, batches = compiled(group)
    done, said = fit(again, batches, epochs=2, checkpoint=path)
    assert said is None
    assert done in (STEPS // 2 + STEPS - 2, STEPS // 2 + STEPS - 1)


def test_an_interrupt_during_a_validation_shortens_it_and_ends_the_training(group) -> None:
    model, batches = compiled(group)

    class Interrupt(keras.callbacks.Callback):
        steps = 0

        def on_test_batch_end(self, batch, logs=None) -> None:
            self.steps += 1
            if group.rank == 0 and batch == 1:
                os.kill(os.getpid(), signal.SIGINT)

    interrupt = Interrupt()
    with scripted(ScriptedLine({})), pytest.raises(KeyboardInterrupt, match=f"after step {STEPS}"):
        model.fit(
            batches,
            epochs=5,
            verbose=0,
            validation_data=batches,
            callbacks=[interrupt, *engine.callbacks("run")],
        )
    assert interrupt.steps == (2 if group.rank == 0 else STEPS)
