"""Floating-point operations of a network, counted in the graph that TensorFlow makes of it.

Convolutions, transposed ones and matrix products count two operations for each multiplication and
addition; all else counts nothing, as in the climate study's ``graph_flops`` (arXiv:1810.01993).
TensorFlow's own profiler agrees on these, but knows no transposed convolution in three dimensions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Flops:
    """Operations for one sample.

    Attributes:
        forward: to predict.
        training: to predict, and to get the gradient of all trainable weights, in all networks
            that a step goes through; the inputs' gradients are not counted, so that this is a
            little less than the customary 3 x forward.
    """

    forward: int
    training: int


def count(model: keras.Model) -> Flops:
    """Count a network's operations; of its inputs only the number of samples may be open.

    Raises:
        ValueError: another dimension is open, or Keras does not run on TensorFlow.
    """
    import keras

    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            "Operations are counted in TensorFlow's graph, but Keras runs on"
            f" {keras.backend.backend()}. Start again with KERAS_BACKEND=tensorflow."
        )
    shapes = [(1, *each.shape[1:]) for each in model.inputs]
    if any(None in shape for shape in shapes):
        raise ValueError(f"The inputs' shapes must be known, but are {shapes}. Build it for one.")
    training = sum(_count(network, gradient) for network in step_networks(model))
    return Flops(_count(model, _predict), training)


def step_networks(model: keras.Model) -> tuple[keras.Model, ...]:
    """The networks that a training step goes through, each as often as it does.

    That is the model, unless it trains several, and says so as ``step_networks``.
    """
    networks: tuple[keras.Model, ...] = getattr(model, "step_networks", (model,))
    return networks


def _predict(model: keras.Model, inputs: list[Any]) -> Any:
    return model(inputs if len(inputs) > 1 else inputs[0], training=False)


def gradient(model: keras.Model, inputs: list[Any]) -> Any:
    """Gradient of the outputs' squares with respect to the trainable weights: what a step costs.

    Args:
        model: a network.
        inputs: a tensor for each of its inputs, shape (batch, ...).
    """
    import tensorflow as tf

    with tf.GradientTape() as tape:
        outputs = tf.nest.flatten(_predict(model, inputs))
        total = tf.add_n([tf.reduce_sum(output * output) for output in outputs])
    return tape.gradient(total, [weight.value for weight in model.trainable_weights])


def _count(model: keras.Model, work: Callable[[keras.Model, list[Any]], Any]) -> int:
    import tensorflow as tf

    shapes = [(1, *each.shape[1:]) for each in model.inputs]
    with _functions_inlined(), tf.__internal__.FuncGraph("counted").as_default():
        inputs = [
            tf.compat.v1.placeholder(each.dtype, shape)
            for shape, each in zip(shapes, model.inputs, strict=True)
        ]
        results = tf.nest.flatten(work(model, inputs))
    return sum(map(_operations, _needed_for(results)))


@contextmanager
def _functions_inlined() -> Iterator[None]:
    """Nested functions, in which Keras wraps convolutions in groups, become part of the graph."""
    import tensorflow as tf

    before = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(True)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(before)


def _needed_for(results: list[Any]) -> set[Any]:
    """The operations that lead to tensors; TensorFlow leaves out the others, too."""
    found: set[Any] = set()
    due = [result.op for result in results if result is not None]
    while due:
        operation = due.pop()
        if operation not in found:
            found.add(operation)
            due += [each.op for each in operation.inputs]
    return found


def _operations(operation: Any) -> int:
    counted = _COUNTED.get(operation.type)
    return 0 if counted is None else 2 * counted(operation)


def _of_matrices(operation: Any) -> int:
    rows = operation.inputs[0].shape
    inner = rows[0] if operation.get_attr("transpose_a") else rows[1]
    return prod(operation.outputs[0].shape) * int(inner)


def _of_batches_of_matrices(operation: Any) -> int:
    rows = operation.inputs[0].shape
    inner = rows[-2] if operation.get_attr("adj_x") else rows[-1]
    return prod(operation.outputs[0].shape) * int(inner)


def _convolution(small: Any, filters: Any) -> int:
    """Multiplications of a convolution, of its transpose, or of its filters' gradient.

    Args:
        small: shape of the convolution's output, (1, ..., channels out).
        filters: shape (..., channels in, channels out); depthwise: (..., channels, multiplier).
    """
    return prod(small[:-1]) * prod(filters)


def _forward(operation: Any) -> int:
    return _convolution(operation.outputs[0].shape, operation.inputs[1].shape)


def _of_input(operation: Any) -> int:
    """The gradient of a convolution's input, which also is a transposed convolution."""
    return _convolution(operation.inputs[2].shape, operation.inputs[1].shape)


def _of_filters(operation: Any) -> int:
    return _convolution(operation.inputs[2].shape, operation.outputs[0].shape)


_COUNTED: dict[str, Callable[[Any], int]] = {
    "MatMul": _of_matrices,
    "BatchMatMulV2": _of_batches_of_matrices,
    "Conv2D": _forward,
    "Conv3D": _forward,
    "DepthwiseConv2dNative": _forward,
    "Conv2DBackpropInput": _of_input,
    "Conv3DBackpropInputV2": _of_input,
    "DepthwiseConv2dNativeBackpropInput": _of_input,
    "Conv2DBackpropFilter": _of_filters,
    "Conv3DBackpropFilterV2": _of_filters,
    "DepthwiseConv2dNativeBackpropFilter": _of_filters,
}
