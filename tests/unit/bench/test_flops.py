"""Operations are counted as by hand."""

import keras
import pytest
import tensorflow as tf
from keras import layers

from interactive_dl.bench import flops


def network(shape: tuple[int, ...], *stack: layers.Layer) -> keras.Model:
    return keras.Sequential([keras.Input(shape), *stack])


@pytest.mark.parametrize(
    ("model", "multiplications"),
    [
        (lambda: network((7,), layers.Dense(5)), 7 * 5),
        (lambda: network((8, 6, 3), layers.Conv2D(4, 3, padding="same")), 8 * 6 * 4 * 3 * 9),
        (lambda: network((8, 6, 3), layers.Conv2D(4, 3, strides=2)), 3 * 2 * 4 * 3 * 9),
        (lambda: network((4, 4, 4, 2), layers.Conv3D(3, 3)), 2**3 * 3 * 2 * 27),
        (
            lambda: network((8, 6, 3), layers.Conv2DTranspose(4, 5, strides=2, padding="same")),
            8 * 6 * 4 * 3 * 25,
        ),
        (
            lambda: network((4, 4, 4, 2), layers.Conv3DTranspose(3, 2, strides=2)),
            4**3 * 3 * 2 * 8,
        ),
        (lambda: network((8, 6, 3), layers.DepthwiseConv2D(3, padding="same")), 8 * 6 * 3 * 9),
        (
            lambda: network((8, 6, 3), layers.SeparableConv2D(4, 3, padding="same")),
            8 * 6 * (3 * 9 + 3 * 4),
        ),
        (lambda: network((8, 6, 4), layers.Conv2D(4, 1, groups=2)), 8 * 6 * 4 * 2),
        (lambda: network((8, 6, 3), layers.MaxPooling2D(), layers.BatchNormalization()), 0),
    ],
)
def test_a_layer_counts_two_operations_per_multiplication(model, multiplications: int) -> None:
    assert flops.count(model()).forward == 2 * multiplications


def test_a_gradient_costs_twice_the_forward_pass_except_in_the_first_layer() -> None:
    first, second, last = 8 * 8 * 4 * 3 * 9, 8 * 8 * 6 * 4 * 9, 8 * 8 * 6 * 5
    counted = flops.count(
        network(
            (8, 8, 3),
            layers.Conv2D(4, 3, padding="same"),
            layers.Conv2D(6, 3, padding="same"),
            layers.Flatten(),
            layers.Dense(5),
        )
    )
    assert counted.forward == 2 * (first + second + last)
    assert counted.training == 2 * (2 * first + 3 * second + 3 * last)


def test_a_step_through_several_networks_costs_what_they_do() -> None:
    shown, judging = network((7,), layers.Dense(5)), network((5,), layers.Dense(3))
    alone = flops.count(shown)
    shown.step_networks = (shown, judging, judging)
    both = flops.count(shown)
    assert both.forward == alone.forward
    assert both.training == alone.training + 2 * flops.count(judging).training


def test_a_layer_that_is_used_twice_counts_twice() -> None:
    shared, inputs = layers.Dense(6), keras.Input((6,))
    assert flops.count(keras.Model(inputs, shared(shared(inputs)))).forward == 2 * 2 * 36


def test_tensorflows_profiler_agrees_where_it_knows_the_operations() -> None:
    model = network(
        (16, 16, 3),
        layers.Conv2D(8, 5, use_bias=False, padding="same"),
        layers.Flatten(),
        layers.Dense(10, use_bias=False),
    )
    graph = tf.function(lambda x: model(x)).get_concrete_function(tf.TensorSpec((1, 16, 16, 3)))
    options = tf.compat.v1.profiler.ProfileOptionBuilder.float_operation()
    told = tf.compat.v1.profiler.profile(graph.graph, options={**options, "output": "none"})
    assert flops.count(model).forward == told.total_float_ops


def test_an_open_shape_says_so() -> None:
    with pytest.raises(ValueError, match="must be known"):
        flops.count(network((None, None, 3), layers.Conv2D(4, 3)))
