"""Gradients of several losses, each for a network of its own: the one thing Keras leaves to its
backends.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import keras


def gradients_of(
    losses: Callable[[], tuple[Any, ...]], networks: Sequence[keras.Model]
) -> tuple[list[list[Any]], tuple[Any, ...]]:
    """Gradients of each loss for the trainable variables of the network in its place.

    Args:
        losses: computes the losses, scalars, all from one pass through the networks.
        networks: one for each loss.

    Returns:
        The gradients, by network and variable, and the losses.

    Raises:
        NotImplementedError: on a backend other than TensorFlow and torch.
    """
    return _of_backend()(losses, networks)


def without_gradients() -> AbstractContextManager[Any]:
    """Where variables are updated: not to be differentiated."""
    if keras.backend.backend() == "torch":
        import torch

        return torch.no_grad()
    return nullcontext()


def _of_backend() -> Callable[..., tuple[list[list[Any]], tuple[Any, ...]]]:
    known = {"tensorflow": _tensorflow, "torch": _torch}
    backend = keras.backend.backend()
    if backend not in known:
        raise NotImplementedError(
            f"Two losses are differentiated on {' and '.join(known)} only, but KERAS_BACKEND is"
            f" {backend}."
        )
    return known[backend]


def _tensorflow(
    losses: Callable[[], tuple[Any, ...]], networks: Sequence[keras.Model]
) -> tuple[list[list[Any]], tuple[Any, ...]]:
    import tensorflow as tf

    with tf.GradientTape(persistent=True) as tape:
        values = losses()
    gradients = [
        tape.gradient(value, [variable.value for variable in network.trainable_variables])
        for value, network in zip(values, networks, strict=True)
    ]
    return gradients, values


def _torch(
    losses: Callable[[], tuple[Any, ...]], networks: Sequence[keras.Model]
) -> tuple[list[list[Any]], tuple[Any, ...]]:
    import torch

    values = losses()
    gradients = []
    for value, network in zip(values, networks, strict=True):
        variables = [variable.value for variable in network.trainable_variables]
        own = torch.autograd.grad(value, variables, retain_graph=True)
        # Horovod takes no tensor that is another one transposed, as those of kernels may be
        gradients.append([gradient.contiguous() for gradient in own])
    return gradients, tuple(value.detach() for value in values)
