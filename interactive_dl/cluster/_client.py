"""The client that a cluster gives out: ipyparallel's, and a word more in every request."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from typing import Any

import ipyparallel
from ipyparallel import error

from interactive_dl.telemetry.requests import METADATA_KEY, RequestMetadata


class Client(ipyparallel.Client):
    """ipyparallel's client; each request also says to which engines its cell was sent.

    Views look their targets up right before they send, one message for each engine, in the same
    thread: what was looked up last is what the message is for.
    """

    def __init__(self, *args: Any, explain_death: Callable[[int], str], **options: Any) -> None:
        self._explain_death = explain_death
        self._cells = itertools.count()
        self._looked_up = threading.local()
        super().__init__(*args, **options)

    def _build_targets(self, targets: Any) -> tuple[list[bytes], list[int]]:
        idents, engines = super()._build_targets(targets)
        self._looked_up.metadata = RequestMetadata(targets=engines, cell=next(self._cells))
        return idents, engines

    def _send(self, socket: Any, msg_type: str, *args: Any, **options: Any) -> Any:
        if msg_type in {"execute_request", "apply_request"}:
            options["metadata"] = {
                **(options.get("metadata") or {}),
                METADATA_KEY: self._say(socket),
            }
        return super()._send(socket, msg_type, *args, **options)

    def _say(self, socket: Any) -> RequestMetadata:
        if socket is self._task_stream:
            return RequestMetadata(targets=None, cell=next(self._cells))
        said: RequestMetadata = self._looked_up.metadata
        return said

    def _handle_stranded_msgs(self, eid: int, uuid: str) -> None:
        """Answer requests whose engine died, as ipyparallel does, but say why it died."""
        waiting = [msg for msg in self._outstanding_dict[uuid] if msg not in self.results]
        for msg_id in waiting:
            try:
                raise error.EngineError(self._explain_death(eid))
            except error.EngineError:
                content = error.wrap_exception()
            reply = self.session.msg("apply_reply", content=content)
            reply["parent_header"]["msg_id"] = msg_id
            reply["metadata"]["engine"] = uuid
            self._handle_apply_reply(reply)
