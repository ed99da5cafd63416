"""Optimizers with a learning rate for each layer, as the paper's framework (Caffe) has them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import keras


class LayerRates:
    """An optimizer of which some tensors have a multiple of the learning rate.

    Args:
        rates: regular expression to factor; the first one that is found in a tensor's path counts,
            and tensors in whose path none is found have a factor of 1.
        options: those of the Keras optimizer.
    """

    def __init__(self, *, rates: Mapping[str, float], **options: Any) -> None:
        super().__init__(**options)
        self.rates = dict(rates)

    def build(self, variables: Sequence[keras.Variable]) -> None:
        """Make the optimizer's variables, and note each tensor's factor."""
        super().build(variables)  # type: ignore[misc]
        self._factors = [self.factor(variable.path) for variable in variables]

    def factor(self, path: str) -> float:
        """The factor of the tensor of this path."""
        found = (factor for pattern, factor in self.rates.items() if re.search(pattern, path))
        return next(found, 1.0)

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Update one tensor, at its own rate."""
        # the TensorFlow backend hands over its own kind of variable, which has no path
        factor = self._factors[self._get_variable_index(variable)]  # type: ignore[attr-defined]
        super().update_step(gradient, variable, learning_rate * factor)  # type: ignore[misc]

    def get_config(self) -> dict[str, Any]:
        """What ``from_config`` needs."""
        return {**super().get_config(), "rates": self.rates}  # type: ignore[misc]


@keras.saving.register_keras_serializable("interactive_dl")
class LayerSGD(LayerRates, keras.optimizers.SGD):
    """SGD with momentum, and rates of layers."""


@keras.saving.register_keras_serializable("interactive_dl")
class LayerAdam(LayerRates, keras.optimizers.Adam):
    """Adam with rates of layers."""
