"""A trial's callbacks, without engines."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras
import pytest

from interactive_dl.engine import _fit_context
from interactive_dl.engine._broadcast import BroadcastState
from interactive_dl.search import _training, words
from interactive_dl.search.events import Promotion
from interactive_dl.search.trial import Trial


def callbacks_of(folder: Path, **options: Any) -> list[keras.callbacks.Callback]:
    task = words.Task("s", "s", 3, 2, (0,), {}, metric="loss", folder=str(folder), **options)
    trial = Trial(task, lambda word: None)
    group: Any = SimpleNamespace(rank=0, size=1)
    return _training.callbacks(trial, task, group, {"checkpoint": None})


def test_a_rate_that_was_set_in_an_earlier_attempt_is_set_again(tmp_path: Path) -> None:
    (again,) = (
        one
        for one in callbacks_of(tmp_path, learning_rate=0.25)
        if isinstance(one, _training._SetByHand)
    )
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.5), "mse")
    again.set_model(model)
    with _fit_context.entered(model, (None, None)):
        again.on_train_begin()
        assert float(model.optimizer.learning_rate) == pytest.approx(0.25)
        assert _fit_context.is_rate_steered(model)


def test_that_rate_comes_after_the_checkpoint_s_and_after_a_promotion_s(tmp_path: Path) -> None:
    given = callbacks_of(tmp_path, learning_rate=0.25, promotion=Promotion(1))
    kinds = [BroadcastState, _training._PromotedRate, _training._SetByHand]
    places = [next(at for at, one in enumerate(given) if isinstance(one, kind)) for kind in kinds]
    assert places == sorted(places)
    assert not any(isinstance(one, _training._SetByHand) for one in callbacks_of(tmp_path))
