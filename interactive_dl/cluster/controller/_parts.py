"""A controller's processes, on disk for its next life and for the cluster's state."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from interactive_dl.telemetry import whole


@dataclass(frozen=True)
class Parts:
    """A controller's processes.

    Attributes:
        hub: process id; 0 when it was given up.
        schedulers: process ids.
        given_up: why it is not started again; empty while it is.
    """

    hub: int = 0
    schedulers: tuple[int, ...] = ()
    given_up: str = ""

    def write(self, folder: Path) -> None:
        """Leave it for other processes: a reader sees the whole file or none."""
        whole.write(_path_in(folder), json.dumps(asdict(self)))

    @classmethod
    def read(cls, folder: Path) -> Parts | None:
        """Read what ``write`` wrote; None before the first life."""
        try:
            told = json.loads(_path_in(folder).read_text())
        except FileNotFoundError:
            return None
        return cls(told["hub"], tuple(told["schedulers"]), told["given_up"])


def _path_in(folder: Path) -> Path:
    return folder / "controller.json"
