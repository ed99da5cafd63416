"""Events as tests need them, a history of them, and a page without a browser."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import ipywidgets

from interactive_dl.telemetry import events
from interactive_dl.telemetry.history import History


def told(*happened: events.AnyEvent) -> History:
    """A history of these events, one second apart."""
    history = History()
    for seq, event in enumerate(happened):
        history.add(events.Record("r", 0, seq, float(seq), event))
    return history


def started(**fields: Any) -> events.Started:
    usual: dict[str, Any] = {"engines": (0, 1), "hosts": ("a", "b"), "epochs": 4}
    return events.Started(**{"name": "r", "steps_per_epoch": 10, **usual, **fields})


def progress(step: int, **fields: Any) -> events.Progress:
    usual: dict[str, Any] = {"metrics": {"loss": 1.0 / step}, "learning_rate": 0.1}
    return events.Progress(**{"step": step, "epoch": 0, "batch": step, **usual, **fields})


def rank_times(*own_s: float, data_s: float = 0.0) -> events.RankTimes:
    """Ranks that compute so long, wait for the slowest, and do nothing else."""
    nothing = (0.0,) * len(own_s)
    waits = tuple(max(own_s) - one for one in own_s)
    return events.RankTimes((data_s,) * len(own_s), own_s, waits, nothing)


@dataclass
class Page:
    """What a browser would get, and what it sends.

    Attributes:
        sent: of every widget's comm, in order: message type, data, buffers.
    """

    sent: list[tuple[str, dict[str, Any], list[bytes]]] = field(default_factory=list)

    def custom(self, kind: str | None = None) -> list[tuple[dict[str, Any], list[bytes]]]:
        """The widgets' own messages, those of a type if one is named."""
        found = [
            (data["content"], buffers)
            for _, data, buffers in self.sent
            if data.get("method") == "custom"
        ]
        return [one for one in found if kind is None or one[0].get("type") == kind]

    def say(self, widget: ipywidgets.Widget, **content: Any) -> None:
        """Send a message of the widget's own."""
        self._deliver(widget, {"method": "custom", "content": content})

    def turn(self, widget: ipywidgets.Widget, **state: Any) -> None:
        """Change a widget's state as a person does."""
        self._deliver(widget, {"method": "update", "state": state, "buffer_paths": []})

    def _deliver(self, widget: ipywidgets.Widget, data: dict[str, Any]) -> None:
        widget.comm.handle_msg({"content": {"data": data}, "buffers": []})


def parts(widget: ipywidgets.Widget) -> Iterator[ipywidgets.Widget]:
    """A widget and all that is in it."""
    yield widget
    for child in getattr(widget, "children", ()):
        yield from parts(child)
