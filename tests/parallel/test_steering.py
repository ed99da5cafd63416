"""Commands reach all ranks after the same step, and the weights show what they did."""

from unittest import mock

import keras
import numpy as np
import pytest
from lines import ScriptedLine, scripted
from models import BATCH, convolution, distance, loss, samples, weights

from interactive_dl import data, engine
from interactive_dl.telemetry import events, replay, spread
from interactive_dl.telemetry.steering import (
    Evaluate,
    Grow,
    Pause,
    Resume,
    SetKnobs,
    Stop,
    WriteCheckpoint,
)

STEPS = 5


class Values(keras.callbacks.Callback):
    """Sets something itself after a step, as a program would that had the value from there on."""

    def __init__(self, step: int, change) -> None:
        super().__init__()
        self.step, self.change, self.steps = step, change, 0

    def on_train_batch_end(self, batch, logs=None) -> None:
        self.steps += 1
        if self.steps == self.step:
            self.change(self.model)


def trained(
    group, optimizer, line, *, model=None, epochs=2, callbacks=(), steps_per_call=1, **options
):
    model = convolution(dropout=0.25) if model is None else model
    x, y = samples("convolution", STEPS, group.size)
    batches = data.from_arrays(x, y).shard(group, seed=5).batch(BATCH)
    model.compile(
        engine.distribute(optimizer),
        loss(),
        metrics=["accuracy"],
        steps_per_execution=steps_per_call,
    )
    with scripted(line):
        history = model.fit(
            batches,
            epochs=epochs,
            verbose=0,
            callbacks=[*engine.callbacks("steered", **options), *callbacks],
        )
    return model, history


def change(name, value, *, retrace=True):
    def apply(model):
        setattr(model.optimizer, name, value)
        if retrace:
            model.make_train_function(force=True)

    return apply


def drop(rate):
    def apply(model):
        for layer in model.layers:
            if isinstance(layer, keras.layers.Dropout):
                layer.rate = rate
        model.make_train_function(force=True)

    return apply


SGD = {"learning_rate": 0.05, "momentum": 0.9}
KNOBS = {
    "learning_rate": (0.005, change("learning_rate", 0.005, retrace=False)),
    "momentum": (0.3, change("momentum", 0.3)),
    "clipnorm": (0.01, change("clipnorm", 0.01)),
    "weight_decay": (0.1, change("weight_decay", 0.1)),
    "dropout": (0.75, drop(0.75)),
}


@pytest.fixture(scope="module")
def untouched() -> list[np.ndarray]:
    """Weights after the training that nobody steers."""
    group = engine.init(seed=0)
    keras.utils.set_random_seed(1)
    return weights(trained(group, keras.optimizers.SGD(**SGD), ScriptedLine({}))[0])


@pytest.mark.parametrize("name", KNOBS)
def test_a_knob_counts_from_its_step_on_as_if_the_program_had_set_it(
    group, untouched, name
) -> None:
    value, apply = KNOBS[name]
    line = ScriptedLine({3: [SetKnobs({name: value})]})
    keras.utils.set_random_seed(1)
    steered, _ = trained(group, keras.optimizers.SGD(**SGD), line, parameters={"a": 1})
    keras.utils.set_random_seed(1)
    step = group.broadcast(line.of(events.CommandApplied)[0].step if group.rank == 0 else None)
    programmed, _ = trained(
        group, keras.optimizers.SGD(**SGD), ScriptedLine({}), callbacks=[Values(step, apply)]
    )
    assert distance(weights(steered), weights(programmed)) == 0
    assert distance(weights(steered), untouched) > 0
    if group.rank == 0:
        (applied,) = line.of(events.CommandApplied)
        assert [one.name for one in applied.changes] == [name]
        assert applied.changes[0].new == pytest.approx(value)
        assert line.closed
        assert line.of(events.Ended) == [events.Ended("finished", step=2 * STEPS, epoch=2)]


REFUSED = [
    ({"lr": 0.1}, "'lr' is no knob of this run; they are "),
    ({"learning_rate": -0.1}, "learning_rate must be >= 0, but got -0.1"),
    ({"learning_rate": "fast"}, "learning_rate must be a number, but got 'fast'"),
    ({"learning_rate": True}, "learning_rate must be a number, but got True"),
    ({"momentum": 1.5}, "momentum must be >= 0 and < 1, but got 1.5"),
    ({"learning_rate": 0.1, "dropout": 2}, "dropout must be"),
    ({"clipnorm": 1.0, "clipvalue": 1.0}, "Only one kind of clipping"),
    ({"steps_per_report": 1.5}, "steps_per_report must be a whole number"),
    ({}, "Give at least one knob"),
]


def test_what_cannot_be_set_is_refused_with_the_reason_and_changes_nothing(
    group, untouched
) -> None:
    line = ScriptedLine({2: [SetKnobs(values) for values, _ in REFUSED]})
    keras.utils.set_random_seed(1)
    steered, _ = trained(group, keras.optimizers.SGD(**SGD), line)
    assert distance(weights(steered), untouched) == 0
    if group.rank == 0:
        told = line.of(events.CommandRefused)
        assert [one.id for one in told] == [sent.id for sent in line.heard]
        for refused, (_, reason) in zip(told, REFUSED, strict=True):
            assert reason in refused.reason
        assert not line.of(events.CommandApplied)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="Keras does not on torch")
def test_commands_count_after_the_last_of_the_steps_that_keras_does_at_once(group) -> None:
    """Epochs of five steps, two at once: Keras's calls end after 2, 4, 5, 7, 9, 10, 12, 14."""
    commands = {
        1: [SetKnobs({"steps_per_report": 1})],
        4: [SetKnobs({"learning_rate": 0.005})],
        7: [SetKnobs({"momentum": 0.3})],
        12: [Stop()],
    }
    steps = [2, 5, 9, 14]

    def run(line, callbacks=()):
        keras.utils.set_random_seed(1)
        return trained(
            group,
            keras.optimizers.SGD(**SGD),
            line,
            epochs=3,
            callbacks=callbacks,
            steps_per_call=2,
        )[0]

    line = ScriptedLine(commands)
    steered = run(line)
    set_rate, set_momentum = KNOBS["learning_rate"][1], KNOBS["momentum"][1]
    after_calls = [Values(3, set_rate), Values(5, set_momentum), Values(8, _stop)]
    programmed = run(ScriptedLine({}), after_calls)
    assert group.allgather(int(steered.optimizer.iterations)) == [14] * group.size
    assert distance(weights(steered), weights(programmed)) == 0

    again = ScriptedLine({})
    with mock.patch.object(replay, "requested", return_value=_score(group, line)):
        replayed = run(again)
    assert distance(weights(steered), weights(replayed)) == 0
    if group.rank == 0:
        assert [one.step for one in line.of(events.CommandApplied)] == steps
        assert line.of(events.EpochEnded)[0].step == STEPS
        (ended,) = line.of(events.Ended)
        assert (ended.outcome, ended.step, ended.epoch) == ("stopped", 14, 2)
        reports = line.of(events.Progress)
        assert reports
        assert {one.step for one in reports} <= {2, 4, 5, 7, 9, 10, 12, 14}
        assert all(min(one.ranks.compute_s) > 0 for one in reports)
        assert [one.step for one in again.of(events.CommandApplied)] == steps
        assert again.of(events.Ended) == line.of(events.Ended)


def _score(group, line) -> replay.Score:
    """What is to be done again, as rank 0's journal has it."""
    within = {
        applied.step: (sent,)
        for applied, sent in zip(line.of(events.CommandApplied), line.heard, strict=True)
    }
    reports = frozenset(one.step for one in line.of(events.Progress))
    return replay.Score(group.broadcast(line.of(events.Started)[:1]), within, {}, reports)


def _stop(model) -> None:
    model.stop_training = True


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="Keras does on TensorFlow")
def test_several_steps_at_once_are_refused_on_every_rank_where_keras_cannot(group) -> None:
    line = ScriptedLine({})
    optimizer = keras.optimizers.SGD(**SGD)
    with pytest.raises(ValueError, match="`steps_per_execution` must be 1 with the PyTorch"):
        trained(group, optimizer, line, steps_per_call=2)


def test_an_optimizer_without_momentum_says_why_it_gets_none(group) -> None:
    line = ScriptedLine({2: [SetKnobs({"momentum": 0.9})]})
    trained(group, keras.optimizers.SGD(0.1), line)
    if group.rank == 0:
        (refused,) = line.of(events.CommandRefused)
        assert "built without momentum" in refused.reason


def test_a_knob_of_ones_own_is_set_on_all_ranks(group) -> None:
    values = []
    knob = engine.Knob("temperature", get=lambda: 1.0, set=values.append, low=0.0, high=2.0)
    line = ScriptedLine({1: [SetKnobs({"temperature": 1.5})]})
    trained(group, keras.optimizers.SGD(**SGD), line, knobs=[knob])
    assert group.allgather(values) == [[1.5]] * group.size


def test_a_pause_waits_takes_commands_and_goes_on(group) -> None:
    while_paused = [SetKnobs({"learning_rate": 0.01}), Resume()]
    line = ScriptedLine({3: [Pause()]}, while_paused)
    model, history = trained(group, keras.optimizers.SGD(**SGD), line)
    assert len(history.history["loss"]) == 2
    assert (
        group.allgather(float(model.optimizer.learning_rate)) == [pytest.approx(0.01)] * group.size
    )
    if group.rank == 0:
        states = [event.state for event in line.of(events.StateChanged)]
        steps = [event.step for event in line.of(events.CommandApplied)]
        assert states == ["paused", "running"]
        assert len(set(steps)) == 1


def test_a_stop_after_a_step_ends_on_all_ranks_at_once_and_is_resumed_within_the_epoch(
    group, shared_path
) -> None:
    # On torch, dropout draws from one generator of the process, which begins each epoch anew.
    dropout = 0.25 if keras.backend.backend() == "tensorflow" else 0.0

    def run(path, line, epochs=3):
        keras.utils.set_random_seed(1)
        return trained(
            group,
            keras.optimizers.SGD(**SGD),
            line,
            model=convolution(dropout=dropout),
            epochs=epochs,
            checkpoint=shared_path / path,
        )

    whole, expected = run("whole.keras", ScriptedLine({}))
    line = ScriptedLine({1: [SetKnobs({"steps_per_report": 1})], 7: [Stop()]})
    _, stopped = run("part.keras", line)
    if group.rank == 0:
        (ended,) = line.of(events.Ended)
        assert (ended.outcome, ended.reason) == ("stopped", "by somebody, after the step")
        assert STEPS < ended.step < 2 * STEPS
    assert len(stopped.history["loss"]) == 2
    resumed, rest = run("part.keras", ScriptedLine({}))
    assert [stopped.history["loss"][0], *rest.history["loss"]] == expected.history["loss"]
    assert [stopped.history["accuracy"][0], *rest.history["accuracy"]] == (
        expected.history["accuracy"]
    )
    assert distance(weights(whole), weights(resumed)) == 0


def test_a_stop_after_the_epoch_finishes_it(group) -> None:
    line = ScriptedLine({2: [Stop("epoch")]})
    _, history = trained(group, keras.optimizers.SGD(**SGD), line, epochs=4)
    assert len(history.history["loss"]) == 1
    if group.rank == 0:
        (ended,) = line.of(events.Ended)
        assert (ended.outcome, ended.step, ended.epoch) == ("stopped", STEPS, 1)


def test_a_checkpoint_and_a_validation_are_made_when_asked_for_and_change_nothing(
    group, shared_path
) -> None:
    def run(line):
        keras.utils.set_random_seed(1)
        model = convolution(dropout=0.25)
        x, y = samples("convolution", STEPS, group.size)
        batches = data.from_arrays(x, y).shard(group, seed=5).batch(BATCH)
        validation = data.from_arrays(x, y).shard(group, shuffle=False).batch(BATCH)
        optimizer = keras.optimizers.SGD(**SGD)
        model.compile(engine.distribute(optimizer), loss(), metrics=["accuracy"])
        with scripted(line):
            history = model.fit(
                batches,
                epochs=2,
                verbose=0,
                validation_data=validation,
                callbacks=engine.callbacks(
                    "run", checkpoint=shared_path / "run.keras", resume=False
                ),
            )
        return model, history.history

    plain, expected = run(ScriptedLine({}))
    line = ScriptedLine({3: [WriteCheckpoint(), Evaluate()]})
    steered, found = run(line)
    assert distance(weights(plain), weights(steered)) == 0
    assert found["loss"] == expected["loss"]
    assert found["val_accuracy"] == expected["val_accuracy"]
    if group.rank == 0:
        (written, *_) = line.of(events.CheckpointWritten)
        assert written.step == line.of(events.CommandApplied)[0].step
        (evaluated,) = line.of(events.Evaluated)
        assert set(evaluated.metrics) == {"val_loss", "val_accuracy"}


@pytest.mark.parametrize("command", [WriteCheckpoint(), Evaluate(), Grow()])
def test_what_a_run_has_no_means_for_is_refused(group, command) -> None:
    line = ScriptedLine({2: [command]})
    trained(group, keras.optimizers.SGD(**SGD), line)
    if group.rank == 0:
        (refused,) = line.of(events.CommandRefused)
        assert "The run has no" in refused.reason or "in a cluster" in refused.reason


class Prints(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        print(f"epoch {epoch} of rank {engine.current().rank}")


def test_what_rank_0_prints_is_told(group, capsys) -> None:
    line = ScriptedLine({})
    trained(group, keras.optimizers.SGD(**SGD), line, callbacks=[Prints()])
    print("after the training")
    lines = [f"epoch {epoch} of rank {group.rank}" for epoch in range(2)]
    assert [*lines, "after the training"] == capsys.readouterr().out.splitlines()[-3:]
    if group.rank == 0:
        assert line.of(events.LogLine) == [events.LogLine("stdout", text) for text in lines]


def test_reports_have_every_ranks_times_and_the_mean_of_the_metrics(group) -> None:
    line = ScriptedLine({1: [SetKnobs({"steps_per_report": 1})]})
    trained(group, keras.optimizers.SGD(**SGD), line, epochs=3)
    if group.rank == 0:
        (started,) = line.of(events.Started)
        assert started.engines == group.engines
        assert len(started.hosts) == group.size
        assert (started.epochs, started.steps_per_epoch) == (3, STEPS)
        assert {"learning_rate", "momentum", "dropout"} <= {knob.name for knob in started.knobs}
        progress = line.of(events.Progress)
        assert [one.step for one in progress] == sorted({one.step for one in progress})
        assert len(progress) > STEPS
        for one in progress:
            assert len(one.ranks.compute_s) == group.size
            assert one.samples_per_s > 0
            assert np.isfinite(one.metrics["loss"])
        (resources, *_) = line.of(events.Resources)
        assert len(resources.cpu_percent) == group.size
        assert min(resources.rss_bytes) > 2**20
        epochs = line.of(events.EpochEnded)
        assert [one.epoch for one in epochs] == [1, 2, 3]


def test_of_very_many_ranks_reports_have_the_spread_and_the_worst(group) -> None:
    line = ScriptedLine({1: [SetKnobs({"steps_per_report": 1})]})
    with mock.patch.object(spread, "TOLD_RANKS", 0):
        trained(group, keras.optimizers.SGD(**SGD), line, epochs=1)
    if group.rank == 0:
        progress = line.of(events.Progress)
        assert len(progress) >= 2
        for one in progress:
            assert one.ranks is None
            assert one.spread.ranks == group.size
            assert set(one.spread.worst) <= set(range(group.size))
            assert one.spread.own_s[0] <= one.spread.own_s[-1] < one.step_time_s + 1e-5
        (resources, *_) = line.of(events.Resources)
        assert resources.spread.all.rss_bytes[0] > 2**20


COMMANDS_AT_RANDOM = 130


def test_ranks_stay_one_under_many_commands_at_random_moments(group) -> None:
    chance = np.random.default_rng(int(group.broadcast(np.random.randint(2**31))))
    makers = [
        lambda: SetKnobs({"learning_rate": float(chance.uniform(1e-4, 1e-2))}),
        lambda: SetKnobs({"learning_rate": -1.0}),
        lambda: SetKnobs({"steps_per_report": int(chance.integers(0, 4))}),
        lambda: SetKnobs({"nothing": 1.0}),
        Evaluate,
    ]
    script = {}
    for _ in range(COMMANDS_AT_RANDOM):
        step = int(chance.integers(1, 300))
        script.setdefault(step, []).append(makers[chance.integers(len(makers))]())
    line = ScriptedLine(script)
    log = []

    class Log(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None) -> None:
            log.append(float(self.model.optimizer.learning_rate))

    model, _ = trained(group, keras.optimizers.SGD(**SGD), line, epochs=80, callbacks=[Log()])
    logs = group.allgather(log)
    assert all(other == logs[0] for other in logs)
    everyone = group.allgather(weights(model))
    assert all(distance(other, everyone[0]) == 0 for other in everyone)
    if group.rank == 0:
        answered = {e.id for e in line.of(events.CommandApplied)}
        answered |= {e.id for e in line.of(events.CommandRefused)}
        assert answered == {sent.id for sent in line.heard}
        assert len(answered) == COMMANDS_AT_RANDOM
