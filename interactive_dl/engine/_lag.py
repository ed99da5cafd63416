"""Gradient lag: each update takes the gradients of the step before, which travelled meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from interactive_dl.engine._larc import Larc
from interactive_dl.engine._reduction import distributed_optimizers, reduction_of
from interactive_dl.engine._wrapper import Wrapper
from interactive_dl.engine.group import current


@keras.saving.register_keras_serializable("interactive_dl")
class Lagged(Wrapper):
    """Update with the gradients of the step before (lag 1), from any optimizer.

        w(t+1) = w(t) - U(g(t-1)),   g(-1) = 0

    A distributed optimizer begins to reduce g(t-1) when step t begins, and needs it when g(t) is
    there: the network works while the ranks compute. Source: Kurth et al. 2018 (arXiv 1810.01993),
    the climate networks on 27,360 GPUs. The first update is zero. On a quadratic of curvature h,
    plain gradient descent with lag converges for ``lr h < 1`` where it would for ``lr h < 2``
    without: the roots of z^2 - z + lr h must lie within the unit circle.

    The gradients that wait are variables of the optimizer, each rank's its own; they are averaged
    whenever a state is kept (checkpoints, ends of epochs, changes of the group). Not together with
    loss scaling, which would judge one step's gradients by another's, nor with Adasum.

    The climate networks had LARC besides: ``Lagged(Larc(adam))`` takes the ratio of the weight as
    it is now to the gradient of the step before, once that is reduced.

    Args:
        inner_optimizer: a plain Keras optimizer, its name, or ``Larc`` around one.

    Raises:
        ValueError: an inner optimizer that hands its gradients on to others.
    """

    takes = (Larc,)

    def __init__(
        self, inner_optimizer: keras.optimizers.Optimizer | str, name: str = "lagged"
    ) -> None:
        super().__init__(inner_optimizer, name)
        self._arrival: Callable[[list[Any]], tuple[list[Any], list[Any]]] | None = None

    def build(self, variables: Sequence[keras.Variable]) -> None:
        """Make room for the gradients that wait."""
        if self.built:
            return
        super().build(variables)
        self.waiting = self.add_optimizer_variables(variables, "lagged_gradient")

    def launch(self) -> None:
        """Begin to reduce the gradients that wait; part of the step, before anything else."""
        if self.built:
            self._arrival = self._reduction()([_copy(one) for one in self.waiting])

    def apply(self, grads: Sequence[Any], trainable_variables: Any = None) -> None:
        """Update with what has waited, and have ``grads`` wait.

        Raises:
            ValueError: a variable has no gradient.
        """
        if not self.built:
            self.build(list(trainable_variables))
        if any(gradient is None for gradient in grads):
            raise ValueError("With gradient lag every trainable variable must have a gradient.")
        if self._arrival is None:
            self.launch()
        arrival, self._arrival = self._arrival, None
        assert arrival is not None
        grads = [ops.convert_to_tensor(gradient) for gradient in grads]
        reduced, grads = arrival(grads)
        for variable, gradient in zip(self.waiting, grads, strict=True):
            variable.assign(gradient)
        self.inner_optimizer.apply(reduced, trainable_variables)

    def _reduction(self) -> Callable[[list[Any]], Any]:
        reduction = reduction_of(self)
        return _alone if reduction is None else reduction.begin


def _alone(tensors: list[Any]) -> Callable[[list[Any]], tuple[list[Any], list[Any]]]:
    return lambda gradients: (tensors, gradients)


def _copy(variable: keras.Variable) -> Any:
    """The value that a variable has now, which stays when it is assigned to."""
    if keras.backend.backend() == "torch":
        return variable.value.detach().clone()
    import tensorflow as tf

    return tf.identity(variable.value)


def lagged_optimizers(model: Any) -> list[Lagged]:
    """Those of a model that reduce with a lag."""
    return [one for one in distributed_optimizers(model) if isinstance(one, Lagged)]


def launching(model: Any, train_step: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A model's ``train_step`` that has the lagged reductions begin first."""

    def step(data: Any) -> Any:
        for optimizer in lagged_optimizers(model):
            optimizer.launch()
        return train_step(data)

    return step


def settle(model: Any) -> None:
    """Give all ranks the mean of the gradients that wait, so that one rank's state is that of all.

    Every rank calls it. What is reduced next is the same as without, to rounding.
    """
    group = current()
    for optimizer in lagged_optimizers(model) if group.size > 1 else ():
        for variable in optimizer.waiting if optimizer.built else ():
            value = np.asarray(ops.convert_to_numpy(variable.value))
            variable.assign(group.average_array(value))
