"""Training data: files opened lazily, shared out over the ranks, handed to ``model.fit``.

    train = data.open("rpv.h5", split="train").shard(group, seed=1).batch(128)
    model.fit(train, epochs=8)

Importing this room loads no deep-learning framework; ``batch`` imports Keras when it is called.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from interactive_dl.data.dataset import Dataset, from_arrays, open
from interactive_dl.data.ranks import Alone, Communicator
from interactive_dl.data.shard import Shard
from interactive_dl.data.sources import Source

if TYPE_CHECKING:
    from interactive_dl.data.batches import Batches

__all__ = ["Alone", "Batches", "Communicator", "Dataset", "Shard", "Source", "from_arrays", "open"]


def __getattr__(name: str) -> Any:
    if name == "Batches":
        from interactive_dl.data.batches import Batches

        return Batches
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
