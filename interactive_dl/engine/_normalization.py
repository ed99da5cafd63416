"""Batch normalisation over the batches of all ranks together."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from interactive_dl.engine import _horovod


@keras.saving.register_keras_serializable("interactive_dl")
class SyncBatchNormalization(keras.layers.BatchNormalization):
    """Keras's batch normalisation with mean and variance of the global batch.

    With a small batch on each rank (one climate image, say) its own statistics are noise; those of
    all ranks together make N ranks with batch b train as one with batch N b (Ioffe, Szegedy 2015,
    arXiv 1502.03167, eq. 1-4 over all ranks). It costs one small allreduce of ``2 channels + 1``
    numbers for each layer on the way forward and one on the way back, whatever the batch.

    The ranks add up, over their samples ``x`` and with ``c`` the moving mean, alike on all,

        n, sum (x - c), sum (x - c)^2

    so that ranks with batches of different sizes count as they should, and data far from zero lose
    no precision once the moving mean is near them. Gradients flow through the sums.

    It takes effect in models whose optimizer is distributed. From then on a call with
    ``training=True`` is for all ranks together; elsewhere it is Keras's own layer. Arguments are
    those of ``keras.layers.BatchNormalization``.

    Attributes:
        collective: names the sums, alike on all ranks; None where there are none.
    """

    collective: str | None = None

    def _moments(self, inputs: Any, mask: Any) -> tuple[Any, Any]:
        if self.collective is None:
            return super()._moments(inputs, mask)
        shape = [1] * len(inputs.shape)
        shape[self.axis] = channels = inputs.shape[self.axis]
        centre = ops.stop_gradient(ops.cast(self.moving_mean, inputs.dtype))
        deviations = inputs - ops.reshape(centre, shape)
        counted = ops.ones_like(inputs)
        if mask is not None:
            counted = counted * ops.cast(ops.expand_dims(mask, -1), inputs.dtype)
            deviations = deviations * counted
        values = (counted, deviations, ops.square(deviations))
        sums = [ops.sum(one, self._reduction_axes) for one in values]
        sums = [sums[0][:1], *sums[1:]]  # all channels have as many samples
        name, framework = self.collective, _horovod.keras_framework()
        total = _horovod.differentiable_sum(framework, ops.concatenate(sums), name=name)
        samples, first, second = total[0], total[1 : 1 + channels], total[1 + channels :]
        mean = first / samples
        variance = ops.maximum(second / samples - ops.square(mean), 0.0)
        return centre + mean, variance


def synchronize_batch_norm(model: keras.Model) -> keras.Model:
    """A copy of a model whose batch normalisations are over all ranks.

    Weights are copied; compile it afterwards.

    Args:
        model: sequential or functional, built.

    Raises:
        ValueError: a subclassed model, which Keras cannot copy; use ``SyncBatchNormalization`` in
            its place.
    """

    def synchronized(layer: keras.layers.Layer) -> keras.layers.Layer:
        is_normalization = type(layer) is keras.layers.BatchNormalization
        kind = SyncBatchNormalization if is_normalization else type(layer)
        return kind.from_config(layer.get_config())

    copy = keras.models.clone_model(model, clone_function=synchronized)
    copy.set_weights(model.get_weights())
    return copy


def synchronized_layers(model: keras.Model) -> list[SyncBatchNormalization]:
    """Those of a model, in an order that is the same on all ranks."""
    layers = model._flatten_layers()
    return [layer for layer in layers if isinstance(layer, SyncBatchNormalization)]


def name_collectives(model: keras.Model) -> None:
    """Have the layers' statistics span the ranks.

    Their sums are named by the layers' order: Keras numbers names by what a process has made
    before, which need not be the same on all ranks.
    """
    for number, layer in enumerate(synchronized_layers(model)):
        layer.collective = f"idl.normalization.{number}"
