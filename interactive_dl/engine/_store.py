"""Where Horovod's ranks find each other: a key-value store, for the moment in which they start."""

from __future__ import annotations

import threading
from collections.abc import Collection
from types import TracebackType
from typing import Any, Self

from horovod.runner.http.http_server import RendezvousHandler, RendezvousHTTPServer


class _Server(RendezvousHTTPServer):
    """Horovod's own, which knows no passwords: it hears the members' hosts only."""

    daemon_threads = True

    def __init__(self, host: str, hosts: Collection[str]) -> None:
        super().__init__((host, 0), RendezvousHandler, 0)
        self._hosts = frozenset(hosts)

    def verify_request(self, _request: Any, client_address: Any) -> bool:
        return client_address[0] in self._hosts


class Store:
    """Serves while its context is entered.

    Args:
        host: IPv4 address to listen on.
        hosts: addresses of those who may call.
    """

    def __init__(self, host: str, hosts: Collection[str]) -> None:
        self._server = _Server(host, hosts)
        self._thread = threading.Thread(target=self._server.serve_forever, name="store")

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        host, port = self._server.server_address[:2]
        return str(host), int(port)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
