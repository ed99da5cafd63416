"""What is wrong with the boxes of each frame, in ``hur-detect``'s terms and weights."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from interactive_dl.science.climate_boxes.grid import CLASSES, NOTHING, OBJECT

PLACE, SIZE, NOWHERE = 5.0, 7.0, 0.5
DECAY = 5e-4
"""Of the kernels' squares; the decoder's are the encoder's, and count once."""
_LEAST = 1e-7


def detection_loss(truth: Any, found: Any) -> Any:
    """The supervised part of the loss.

    Over the cells with a box: 5 (s(y) + s(x)) + 7 (s(height) + s(width)) - log p(box)
    - log p(its class), where s is the smooth L1 distance (Huber's); over those without:
    - 0.5 log p(no box).

    Args:
        truth, found: grids, shape (batch, cells, cells, 6 + classes).

    Returns:
        The sum over the cells, shape (batch,).
    """
    has_box = truth[..., OBJECT]
    at_box = (
        PLACE * _smooth(truth[..., 0:2], found[..., 0:2])
        + SIZE * _smooth(truth[..., 2:4], found[..., 2:4])
        + _surprise(found[..., OBJECT])
        + ops.sum(truth[..., CLASSES] * _surprise(found[..., CLASSES]), axis=-1)
    )
    elsewhere = NOWHERE * _surprise(found[..., NOTHING])
    return ops.sum(has_box * at_box + (1 - has_box) * elsewhere, axis=(1, 2))


def reconstruction_loss(frames: Any, again: Any) -> Any:
    """Mean squared error of each frame, shape (batch,)."""
    return ops.mean(ops.square(again - frames), axis=(1, 2, 3))


def _smooth(truth: Any, found: Any) -> Any:
    """The sum of the smooth L1 distances of two coordinates."""
    return 2 * keras.losses.huber(truth, found)


def _surprise(probability: Any) -> Any:
    return -ops.log(ops.maximum(probability, _LEAST))
