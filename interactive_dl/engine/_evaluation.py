"""A validation in the middle of an epoch, which leaves the epoch's own metrics as they are."""

from __future__ import annotations

import keras

from interactive_dl.engine._checkpoint import metric_state, restore_metric_state
from interactive_dl.engine._fit_context import data_of
from interactive_dl.engine._metrics import average_statistics
from interactive_dl.engine._noise import generator_kept
from interactive_dl.engine.group import current


def has_data(model: keras.Model) -> bool:
    """Whether the running ``fit`` has validation data."""
    return len(data_of(model)) > 1 and data_of(model)[1] is not None


def evaluate(model: keras.Model) -> dict[str, float]:
    """Metrics on the validation data, means over the ranks; every rank calls it."""
    kept = metric_state(model)
    average_statistics(model)
    validation = data_of(model)[1]
    parts = validation if isinstance(validation, tuple) else (validation,)
    names = ("x", "y", "sample_weight")[: len(parts)]
    try:
        with generator_kept():
            found = model.evaluate(
                **dict(zip(names, parts, strict=True)), return_dict=True, verbose=0
            )
    finally:
        restore_metric_state(model, kept)
    return current().average({f"val_{name}": float(value) for name, value in found.items()})
