"""Training data: copied to the nodes, opened lazily, shared out over the ranks, for ``model.fit``.

    local = data.stage("rpv.h5", group)
    train = data.open(local, split="train").shard(group, seed=1).batch(128)
    model.fit(train, epochs=8)

Importing this room loads no deep-learning framework; ``batch`` imports Keras when it is called.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from interactive_dl.data.dataset import Dataset, from_arrays, open
from interactive_dl.data.ranks import Alone, Communicator, Nodes
from interactive_dl.data.shard import Shard
from interactive_dl.data.sources import Source
from interactive_dl.data.staging import Staged, stage

if TYPE_CHECKING:
    from interactive_dl.data.batches import Batches

__all__ = [
    "Alone",
    "Batches",
    "Communicator",
    "Dataset",
    "Nodes",
    "Shard",
    "Source",
    "Staged",
    "from_arrays",
    "open",
    "stage",
]


def __getattr__(name: str) -> Any:
    if name == "Batches":
        from interactive_dl.data.batches import Batches

        return Batches
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
