"""How a knob is turned: on a slider where its range is known, else by typing."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from interactive_dl.telemetry.events import KnobState

_DECADES_BELOW, _DECADES_ABOVE = 3, 2


@dataclass(frozen=True)
class Slider:
    """A slider's scale.

    Attributes:
        scale: ``log`` for what is compared by factors.
        low, high: its ends.
        step: linear: a distance; log: a part of a decade.
    """

    scale: Literal["log", "linear"]
    low: float
    high: float
    step: float


def slider(knob: KnobState) -> Slider | None:
    """The slider for a knob; None where nobody knows how far it would reach."""
    value, low, high = knob.value, _finite(knob.low), _finite(knob.high)
    if knob.kind == "float" and _goes_by_factors(knob.name, value, low, high):
        middle = math.floor(math.log10(value)) if value and value > 0 else -3
        least = low if low and low > 0 else 10.0 ** (middle - _DECADES_BELOW)
        most = high if high is not None else 10.0 ** (middle + _DECADES_ABOVE)
        return Slider("log", least, most, 0.02)
    if low is None or high is None:
        return None
    if knob.kind == "int":
        return Slider("linear", low, high, 1)
    return Slider("linear", low, high, (high - low) / 200)


def _goes_by_factors(name: str, value: float | None, low: float | None, high: float | None) -> bool:
    """A learning rate or a decay: positive, without an upper end or over decades."""
    if low is None or low < 0:
        return name == "learning_rate"
    if high is None:
        return bool(value and value > 0)
    return low > 0 and high / low >= 100


def _finite(limit: float | None) -> float | None:
    return limit if limit is not None and math.isfinite(limit) else None
