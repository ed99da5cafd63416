"""Gradients in half precision for the way between the ranks, guarded against overflow.

Half precision ends at 65504, and the sum over many ranks would reach it long before their mean
does. So each rank divides by the number of ranks first, in full precision. What is finite and
too large even so is cut; infinities and NaN go through, so that loss scaling sees them and skips
the step on all ranks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

LARGEST = 65000.0  # below 65504 by more than the rounding of all ranks' parts


def halve_tensorflow(tensors: Sequence[Any], ranks: Any) -> list[Any]:
    """This rank's part of the mean, in half precision.

    Args:
        tensors: floating-point tensors.
        ranks: how many there are, a scalar tensor: a compiled step outlives a group.
    """
    import tensorflow as tf

    halved = []
    for tensor in tensors:
        fitting = tf.clip_by_value(tensor, -LARGEST, LARGEST)
        kept = tf.where(tf.math.is_finite(tensor), fitting, tensor)
        halved.append(tf.cast(kept / tf.cast(ranks, tensor.dtype), tf.float16))
    return halved


def restore_tensorflow(halves: Sequence[Any], like: Sequence[Any], factor: Any) -> list[Any]:
    """Reduced halves in the dtypes of ``like``, times ``factor``, a scalar tensor."""
    import tensorflow as tf

    pairs = zip(halves, like, strict=True)
    return [tf.cast(half, one.dtype) * tf.cast(factor, one.dtype) for half, one in pairs]


def halve_torch(tensors: Sequence[Any], ranks: int) -> list[Any]:
    """This rank's part of the mean, in half precision."""
    import torch

    halved = []
    for tensor in tensors:
        kept = torch.where(tensor.isfinite(), tensor.clamp(-LARGEST, LARGEST), tensor)
        halved.append((kept / ranks).half())
    return halved


def restore_torch(halves: Sequence[Any], like: Sequence[Any], factor: int) -> list[Any]:
    """Reduced halves in the dtypes of ``like``, times ``factor``."""
    return [half.to(one.dtype) * factor for half, one in zip(halves, like, strict=True)]
