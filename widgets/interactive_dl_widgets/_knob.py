"""One knob of a run: a slider where there is one, and a number to type."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from typing import Any

import ipywidgets

from interactive_dl.telemetry.events import KnobState
from interactive_dl_widgets._family import hear_while_cells_run
from interactive_dl_widgets.views.knobs import Slider, slider

_NAME_WIDTH = "130px"


class Knob(ipywidgets.HBox):
    """Shows a knob's value, and asks for another when a person sets one.

    Args:
        knob: its name, limits and value.
        ask: called with the name and the value that a person wants, in the thread that
            brought the message.
    """

    def __init__(self, knob: KnobState, ask: Callable[[str, float], None]) -> None:
        self._name = knob.name
        self._ask = ask
        self._lock = threading.RLock()
        self._shown: float | None = None
        number = ipywidgets.IntText if knob.kind == "int" else ipywidgets.FloatText
        self._number = number(layout={"width": "110px"})
        scale = slider(knob)
        self._slider = None if scale is None else _slider(scale, is_int=knob.kind == "int")
        name = ipywidgets.Label(knob.name, layout={"width": _NAME_WIDTH})
        parts = [name, *filter(None, [self._slider]), self._number]
        super().__init__(parts, layout={"align_items": "center", "width": "100%"})
        hear_while_cells_run(self)
        self.show(knob.value)
        for control in self._controls:
            control.observe(self._turned, "value")

    @property
    def _controls(self) -> list[Any]:
        return [self._number, *filter(None, [self._slider])]

    @property
    def is_enabled(self) -> bool:
        """Whether a person can turn it."""
        return not self._number.disabled

    @is_enabled.setter
    def is_enabled(self, enabled: bool) -> None:
        for control in self._controls:
            control.disabled = not enabled

    def show(self, value: float | None) -> None:
        """Show what the run has; nothing is asked for."""
        with self._lock:
            if value is None or value == self._shown:
                return
            self._shown = value
            for control in self._controls:
                control.value = value

    def _turned(self, change: dict[str, Any]) -> None:
        with self._lock:
            value = change["new"]
            # The other control, or what show() does, is no wish of a person.
            if value == self._shown or value == _clipped(change["owner"], self._shown):
                return
            self.show(value)
        self._ask(self._name, value)


def _slider(scale: Slider, *, is_int: bool) -> Any:
    layout = {"flex": "1 1 100px", "min_width": "80px", "width": "auto"}
    common = {"readout": False, "continuous_update": False, "layout": layout}
    if scale.scale == "log":
        return ipywidgets.FloatLogSlider(
            min=math.log10(scale.low), max=math.log10(scale.high), step=scale.step, **common
        )
    if is_int:
        return ipywidgets.IntSlider(min=int(scale.low), max=int(scale.high), step=1, **common)
    return ipywidgets.FloatSlider(min=scale.low, max=scale.high, step=scale.step, **common)


def _clipped(control: Any, value: float | None) -> float | None:
    """What a slider makes of a value beyond its ends."""
    if value is None or not hasattr(control, "min"):
        return value
    low, high = control.min, control.max
    if isinstance(control, ipywidgets.FloatLogSlider):
        low, high = control.base**low, control.base**high
    return min(max(value, low), high)
