"""What optimizers around an optimizer have in common, after the pattern of Keras's loss scaling."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import keras


class Wrapper(keras.optimizers.Optimizer):
    """An optimizer that does something of its own, and has another one do the update.

    The learning rate is the inner one's; the variables are its own, then the inner one's. It is
    saved and loaded as what it is.

    Args:
        inner_optimizer: a plain Keras optimizer, or its name.

    Attributes:
        takes: wrappers that may be the inner optimizer, too.

    Raises:
        ValueError: ``inner_optimizer`` hands its gradients on to others by itself.
    """

    takes: tuple[type[Wrapper], ...] = ()

    def __init__(self, inner_optimizer: keras.optimizers.Optimizer | str, name: str) -> None:
        super().__init__(learning_rate=0.0, name=name)
        if not isinstance(inner_optimizer, self.takes):
            inner_optimizer = plain(inner_optimizer, type(self).__name__)
        self.inner_optimizer = inner_optimizer

    def build(self, variables: Sequence[keras.Variable]) -> None:
        """Make the variables of both."""
        if self.built:
            return
        self.inner_optimizer.build(variables)
        super().build(variables)

    @property
    def variables(self) -> list[keras.Variable]:
        """Its own, then the inner optimizer's."""
        return [*self._variables, *self.inner_optimizer.variables]

    @property
    def learning_rate(self) -> Any:
        """The inner optimizer's."""
        return self.inner_optimizer.learning_rate

    @learning_rate.setter
    def learning_rate(self, value: Any) -> None:
        self.inner_optimizer.learning_rate = value

    @property
    def iterations(self) -> Any:
        """Updates of the inner optimizer."""
        return self.inner_optimizer.iterations

    def scale_loss(self, loss: Any) -> Any:
        """As the inner optimizer does."""
        return self.inner_optimizer.scale_loss(loss)

    def finalize_variable_values(self, variables: Any) -> None:
        """As the inner optimizer does."""
        self.inner_optimizer.finalize_variable_values(variables)

    def get_config(self) -> dict[str, Any]:
        """What ``from_config`` needs."""
        return {
            "name": self.name,
            "inner_optimizer": keras.saving.serialize_keras_object(self.inner_optimizer),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Self:
        """Rebuild from ``get_config()``."""
        inner = keras.saving.deserialize_keras_object(config["inner_optimizer"], custom_objects)
        return cls(**{**config, "inner_optimizer": inner})


def plain(optimizer: keras.optimizers.Optimizer | str, wrapper: str) -> Any:
    """An optimizer that computes updates itself.

    Raises:
        ValueError: it hands its gradients on to others.
    """
    optimizer = keras.optimizers.get(optimizer)
    if type(optimizer).apply is not keras.optimizers.Optimizer.apply:
        kind = type(optimizer).__name__
        raise ValueError(
            f"{wrapper} wraps a plain Keras optimizer, but got {kind}. Put {wrapper} inside of"
            f" {kind}, where that is possible: {kind}({wrapper}(keras.optimizers.SGD(0.1)))."
        )
    return optimizer
