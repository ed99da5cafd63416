"""What the cluster's client writes into a request, and an engine reads from it."""

from __future__ import annotations

from typing import TypedDict

METADATA_KEY = "interactive_dl"


class RequestMetadata(TypedDict):
    """Where a request goes.

    ``targets``: ids of all engines that the same cell was sent to; None for a task that the
    load-balancing scheduler gives to one engine of its choice. ``cell``: counts the cells and
    calls of one client. ``is_heard``: whether anybody listens to the engine's being busy with it.
    """

    targets: list[int] | None
    cell: int
    is_heard: bool
