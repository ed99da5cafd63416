"""How a case is trained unless it says otherwise: its network, its data, all ranks."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from interactive_dl import data

if TYPE_CHECKING:
    import keras

    from interactive_dl.science.definition import Task

Augment = Callable[..., tuple[np.ndarray, ...]]


def fit(
    task: Task[Any],
    *,
    augment: Augment | None = None,
    callbacks: Iterable[keras.callbacks.Callback] = (),
) -> keras.Model:
    """Train a case's network with ``model.fit`` under all callbacks of ``engine.callbacks``.

    The learning rate falls as the configuration's ``decay`` says.

    Args:
        task: what to train, and with whom.
        augment: takes and returns ``(x, y)`` of a training batch.
        callbacks: the case's own, after ours.

    Returns:
        The network; its ``history`` is Keras's.
    """
    from interactive_dl import engine
    from interactive_dl.science.decay import StepDecay

    case, config = task.case, task.config
    samples = case.open(task.folder, "train").cached_if_small()
    if task.shuffle_labels:
        samples = with_shuffled_labels(samples, task.seed)
    train = samples.shard(task.group, seed=task.seed).batch(task.batch_size)
    val = case.open(task.folder, "val").cached_if_small().shard(task.group, shuffle=False)
    model = case.build_model(config)
    case.compile(model, config, engine.distribute)
    model.fit(
        train if augment is None else train.map(augment),
        validation_data=val.batch(task.batch_size),
        epochs=config.epochs,
        verbose=task.verbose if task.group.rank == 0 else 0,
        callbacks=[
            *engine.callbacks(
                task.name,
                warmup_epochs=config.warmup_epochs if task.group.size > 1 else 0,
                parameters=_parameters(config),
            ),
            StepDecay(config.decay),
            *callbacks,
        ],
    )
    return model


def with_shuffled_labels(samples: data.Dataset, seed: int) -> data.Dataset:
    """The same samples, each with the label of another one."""
    x, y, *weight = samples.arrays()
    return data.from_arrays(x, np.random.default_rng(seed).permutation(y), *weight)


def _parameters(config: Any) -> dict[str, float | str]:
    """A configuration as the journal takes it: numbers and texts by name."""
    return {
        name: value if isinstance(value, int | float | str) else str(value)
        for name, value in asdict(config).items()
    }
