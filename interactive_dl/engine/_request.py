"""What the running cell's request says about itself.

The cluster's client writes into each request which engines it goes to (``interactive_dl.cluster``
``client.py``); a foreign client does not.
"""

from __future__ import annotations

import sys
from typing import Any

from interactive_dl.telemetry.requests import METADATA_KEY


def targets(my_id: int) -> tuple[int, ...] | None:
    """Ids of the engines that the running cell was sent to.

    A task of a load-balanced view runs on one engine, this one. None outside of a cell, or where
    the client did not say.
    """
    said = _metadata().get(METADATA_KEY)
    if said is None:
        return None
    return tuple(said["targets"]) if said["targets"] is not None else (my_id,)


def _metadata() -> dict[str, Any]:
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    kernel = getattr(shell, "kernel", None)
    if kernel is None:
        return {}
    request: dict[str, Any] = kernel.get_parent("shell")
    return request.get("metadata", {})
