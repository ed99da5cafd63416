"""ipyparallel's kernel, which does not tell what nobody hears."""

from __future__ import annotations

from typing import Any

from ipyparallel.engine.kernel import IPythonParallelKernel

from interactive_dl.telemetry.requests import METADATA_KEY


class Kernel(IPythonParallelKernel):
    """Of every request all clients are told when it is begun and done, unless it says otherwise.

    A search's driver has hundreds of requests a second: telling costs the engine, the hub and each
    notebook as much as an empty trial does.
    """

    def _publish_status(self, status: str, channel: str, parent: Any = None) -> None:
        request = parent or self.get_parent(channel)
        said = request.get("metadata", {}).get(METADATA_KEY, {})
        if said.get("is_heard", True):
            super()._publish_status(status, channel, parent)
