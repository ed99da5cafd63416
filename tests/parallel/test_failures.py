"""A rank that fails takes nobody hostage: all stop, naming the first, and can train again."""

from __future__ import annotations

import signal
import time

import keras
import numpy as np
import pytest
from models import BATCH, dense, loss

from interactive_dl import engine
from interactive_dl.engine import cells, world
from interactive_dl.engine import group as groups
from interactive_dl.engine._agreement import SamePlan
from interactive_dl.errors import GroupError, PeerFailedError

PROMPT_S = 30


class FailAt(keras.callbacks.Callback):
    """Do something bad on one rank after some step."""

    def __init__(self, rank, act, step=2):
        super().__init__()
        self.rank, self.act, self.step = rank, act, step

    def on_train_batch_end(self, batch, logs=None):
        if engine.current().rank == self.rank and batch == self.step:
            self.act()


def train(group, extra=(), *, watched=True):
    model = dense()
    model.compile(engine.distribute(keras.optimizers.SGD(0.1, momentum=0.9)), loss())
    x = np.random.default_rng(group.rank).normal(size=(6 * BATCH, 6)).astype("float32")
    model.fit(
        x,
        np.zeros(len(x)),
        batch_size=BATCH,
        verbose=0,
        callbacks=[*(engine.callbacks("failures") if watched else ()), *extra],
    )
    return model


def raise_value_error():
    raise ValueError("a bad sample")


def expect_all_to_stop(group, culprit, act, own_error, text, **options):
    begin = time.monotonic()
    if group.rank == culprit:
        with pytest.raises(own_error) as caught:
            train(group, [FailAt(culprit, act)], **options)
        assert f"rank {culprit} of {group.size}" in caught.value.__notes__[0]
    else:
        with pytest.raises(
            PeerFailedError, match=f"rank {culprit} of {group.size} failed first"
        ) as e:
            train(group, [FailAt(culprit, act)], **options)
        assert text in str(e.value)
    assert time.monotonic() - begin < PROMPT_S


@pytest.mark.parametrize("which", ["first", "last"])
def test_a_rank_that_raises_in_a_step_stops_all_and_is_named(group, which):
    culprit = 0 if which == "first" else group.size - 1
    expect_all_to_stop(group, culprit, raise_value_error, ValueError, "ValueError: a bad sample")
    train(engine.init())


def test_a_rank_that_raises_in_its_data_stops_all(group):
    culprit = group.size - 1

    class Data(keras.utils.PyDataset):
        def __len__(self):
            return 4

        def __getitem__(self, index):
            if index == 2 and group.rank == culprit:
                raise OSError("the file system is gone")
            return np.ones((BATCH, 6), "float32"), np.zeros(BATCH)

    model = dense()
    model.compile(engine.distribute("sgd"), loss())
    with pytest.raises(Exception, match="the file system is gone|failed first") as caught:
        model.fit(Data(), verbose=0, callbacks=engine.callbacks("failures"))
    assert isinstance(caught.value, PeerFailedError) == (group.rank != culprit)
    train(engine.init())


def test_an_interrupt_of_one_rank_stops_all_where_nobody_looks_after_it(group):
    def interrupt():
        signal.raise_signal(signal.SIGINT)

    own = KeyboardInterrupt
    expect_all_to_stop(group, group.size - 1, interrupt, own, "KeyboardInterrupt", watched=False)
    train(engine.init())


def test_an_error_on_all_ranks_stays_everybodys_own(group):
    with pytest.raises(ValueError, match="a bad sample"):
        train(group, [FailAt(group.rank, raise_value_error)])
    train(engine.init())


def test_a_broken_group_asks_to_be_formed_again(group):
    with pytest.raises(ValueError, match="a bad sample"):
        train(group, [FailAt(group.rank, raise_value_error)])
    with pytest.raises(GroupError, match=r"Call engine.init\(\) on all"):
        train(group)
    train(engine.init())


def test_a_cell_that_fails_on_all_ranks_leaves_the_group_alone(group):
    cells._after_failure(NameError("name 'kersa' is not defined"))
    assert groups.is_active()
    assert engine.init() is group


def test_a_cell_that_fails_on_one_rank_ends_the_others_collectives(group, capsys):
    if group.size == 1:
        return
    from interactive_dl.engine import _horovod

    begin = time.monotonic()
    if group.rank == 0:
        cells._after_failure(NameError("only here"))
    else:
        mine = keras.ops.convert_to_tensor(np.ones(1, "float32"))
        with pytest.raises(Exception, match="orovod") as caught:
            _horovod.reduce(
                _horovod.keras_framework(), [mine], name="lonely", op="sum", compression="none"
            )
        assert _horovod.is_collective_error(caught.value)
        cells._after_failure(caught.value)
        assert "rank 0 of" in capsys.readouterr().err
    assert time.monotonic() - begin < PROMPT_S
    assert not groups.is_active()
    train(engine.init())


def test_a_cell_that_runs_on_some_ranks_may_fail_without_harm(group, monkeypatch):
    """Nobody waits for it: the others were not sent the cell."""
    if group.size > 1 and group.rank == 0:
        with monkeypatch.context() as sent:
            sent.setattr(world, "cell_targets", lambda: (0,))
            cells._after_failure(NameError("only here, and only sent here"))
    assert groups.is_active()
    assert engine.init() is group


class FailIn(keras.callbacks.Callback):
    """Raise on one rank where the others go on to wait in MPI, not in Horovod."""

    def __init__(self, rank, hook):
        super().__init__()
        self.rank = rank
        setattr(self, hook, self._fail)

    def _fail(self, *args, **kwargs):
        if engine.current().rank == self.rank:
            raise_value_error()


@pytest.mark.parametrize("hook", ["on_train_begin", "on_epoch_end", "on_test_begin"])
def test_a_rank_that_raises_between_steps_stops_all(group, hook):
    culprit = group.size - 1
    model = dense()
    model.compile(engine.distribute("sgd"), loss())
    x, y = np.ones((2 * BATCH, 6), "float32"), np.zeros(2 * BATCH)
    callbacks = [FailIn(culprit, hook), *engine.callbacks("failures")]
    with pytest.raises(Exception, match="a bad sample") as caught:
        model.fit(x, y, batch_size=BATCH, verbose=0, validation_data=(x, y), callbacks=callbacks)
    assert isinstance(caught.value, PeerFailedError) == (group.rank != culprit)
    train(engine.init())


def test_a_cell_that_fails_on_one_rank_ends_a_groups_own_collectives(group, capsys):
    if group.size == 1:
        return
    if group.rank == 0:
        cells._after_failure(NameError("only here"))
    else:
        with pytest.raises(PeerFailedError, match=r"engine.init\(\)") as caught:
            group.allgather("here")
        cells._after_failure(caught.value)
        assert "NameError: only here" in capsys.readouterr().err
    train(engine.init())


def test_an_alternating_loop_of_two_optimizers_is_guarded_too(group):
    """The optimizer that ``compile`` knows is not distributed; those of the step are."""
    culprit = group.size - 1
    model = dense()
    model.compile("sgd", loss())
    model.second = engine.distribute("sgd")
    x, y = np.ones((2 * BATCH, 6), "float32"), np.zeros(2 * BATCH)
    with pytest.raises(Exception, match="a bad sample") as caught:
        model.fit(x, y, verbose=0, callbacks=[FailIn(culprit, "on_train_begin"), SamePlan()])
    assert isinstance(caught.value, PeerFailedError) == (group.rank != culprit)
    train(engine.init())
