"""The client that a cluster gives out: ipyparallel's, and a word more in every request."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from typing import Any

import ipyparallel
import zmq
from ipyparallel import error

from interactive_dl.cluster.controller import RESULTS_LOST
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
        self._hears = True
        super().__init__(*args, **options)
        self._notification_handlers[RESULTS_LOST] = self._handle_results_lost

    def ask_queues(self) -> Any:
        """Ask the hub how much waits and runs on each engine; ``queue_status`` without waiting.

        Returns:
            A future of its message; none comes from a hub that is being restarted.
        """
        content = {"targets": None, "verbose": False}
        return self._send(self._query_stream, "queue_request", content=content)

    def hear_no_output(self) -> None:
        """Take no part in what engines print and show, nor in when they are busy.

        For who sends many short tasks and needs no more than their results: engines do not say
        that they are busy with these, and then idle.
        """
        self._hears = False
        self._io_loop.add_callback(self._iopub_socket.setsockopt, zmq.UNSUBSCRIBE, b"")

    def ask_to_forget(self, engine: int) -> None:
        """Have the hub list an engine no longer that is gone without a word."""
        self._send(self._query_stream, "unregistration_request", content={"id": engine})

    def _build_targets(self, targets: Any) -> tuple[list[bytes], list[int]]:
        idents, engines = super()._build_targets(targets)
        self._looked_up.metadata = self._metadata(engines)
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
            return self._metadata(None)
        said: RequestMetadata = self._looked_up.metadata
        return said

    def _metadata(self, engines: list[int] | None) -> RequestMetadata:
        return RequestMetadata(targets=engines, cell=next(self._cells), is_heard=self._hears)

    def _handle_stranded_msgs(self, eid: int, uuid: str) -> None:
        """Answer requests whose engine died, as ipyparallel does, but say why it died."""
        waiting = [msg for msg in self._outstanding_dict[uuid] if msg not in self.results]
        for msg_id in waiting:
            self._fail(msg_id, self._explain_death(eid), {"engine": uuid})

    def _unregister_engine(self, msg: dict[str, Any]) -> None:
        """Hear of a death once: a controller that was restarted tells it again."""
        if int(msg["content"]["id"]) in self._ids:
            super()._unregister_engine(msg)

    def _handle_results_lost(self, msg: dict[str, Any]) -> None:
        """Answer requests whose answers were lost with the controller."""
        before_s = msg["content"]["before_s"]
        for msg_id in self.outstanding & self._futures.keys():
            if self._futures[msg_id].header["date"].timestamp() < before_s:
                self._fail(msg_id, _LOST, {})

    def _fail(self, msg_id: str, why: str, metadata: dict[str, Any]) -> None:
        try:
            raise error.EngineError(why)
        except error.EngineError:
            content = error.wrap_exception()
        reply = self.session.msg("apply_reply", content=content)
        reply["parent_header"]["msg_id"] = msg_id
        reply["metadata"] |= metadata
        self._handle_apply_reply(reply)


_LOST = (
    "The controller's schedulers were killed and restarted meanwhile, and the answer was lost. The"
    " engines were not disturbed: what had begun there goes on, and runs are in their journals;"
    " what had not begun is to be sent again."
)
