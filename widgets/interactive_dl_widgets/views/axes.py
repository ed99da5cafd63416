"""Parameters as numbers on axes, and back: what plots show and what a person brushes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
import numpy as np

from interactive_dl.search.ranges import (
    AnyDimension,
    Choice,
    Fixed,
    Integer,
    LogInteger,
    LogUniform,
)
from interactive_dl.search.space import Space
from interactive_dl_widgets.views.commands import number as short


@dataclass(frozen=True)
class Axis:
    """A parameter's, or the metric's, values as numbers.

    Attributes:
        name: of the parameter.
        scale: ``log`` for what is compared by factors; ``choice`` counts options from 0.
        low, high: its ends.
        options: in the order of their numbers; for choices only.
    """

    name: str
    scale: Literal["linear", "log", "choice"]
    low: float
    high: float
    options: tuple[Any, ...] = ()

    def number(self, value: Any) -> float:
        """A value as a number; NaN where it is not there or has no place."""
        if self.scale == "choice":
            found = (at for at, one in enumerate(self.options) if _same(one, value))
            return float(next(found, math.nan))
        if isinstance(value, bool) or not isinstance(value, int | float):
            return math.nan
        return float(value) if value > 0 or self.scale == "linear" else math.nan

    def place(self, numbers: np.ndarray) -> np.ndarray:
        """Where numbers lie between the ends: 0 .. 1, held there."""
        low, high = self.low, self.high
        if self.scale == "log":
            numbers, low, high = np.log(numbers), math.log(low), math.log(high)
        return np.clip((numbers - low) / ((high - low) or 1.0), 0.0, 1.0)

    def at(self, place: float) -> float:
        """The number at a place."""
        if self.scale == "log":
            return self.low * (self.high / self.low) ** place
        return self.low + place * (self.high - self.low)

    def label(self, number: float) -> str:
        """A number as a person reads it."""
        if self.scale == "choice":
            return str(self.options[round(number)])
        return short(number)

    def ticks(self) -> list[tuple[float, str]]:
        """Places and labels: every option, or both ends and the middle."""
        if self.scale == "choice":
            places = self.place(np.arange(len(self.options), dtype=float))
            return list(zip(places.tolist(), map(str, self.options), strict=True))
        return [(place, short(self.at(place))) for place in (0.0, 0.5, 1.0)]


def axes(space: Space, seen: Mapping[str, Sequence[Any]]) -> tuple[Axis, ...]:
    """An axis for each parameter that is searched, with room for all values seen.

    Args:
        space: as it is now.
        seen: values of trials by parameter, which may lie outside of ranges that were narrowed.
    """
    return tuple(
        _axis(name, dimension, [value for value in seen.get(name, ()) if value is not None])
        for name, dimension in space.dimensions.items()
        if not isinstance(dimension, Fixed)
    )


def narrowed(dimension: AnyDimension, low: float, high: float) -> AnyDimension | None:
    """The part of a range between two numbers of its axis; None where nothing is left.

    Ends are rounded to three digits, never outwards of the range.
    """
    replace = msgspec.structs.replace
    if isinstance(dimension, Choice):
        options = dimension.options[max(0, math.ceil(low)) : math.floor(high) + 1]
        return replace(dimension, options=options) if options else None
    if isinstance(dimension, Fixed):
        return None
    if isinstance(dimension, Integer):
        step = dimension.step
        first = dimension.low + step * max(0, math.ceil((low - dimension.low) / step))
        last = dimension.low + step * math.floor((min(high, dimension.high) - dimension.low) / step)
    elif isinstance(dimension, LogInteger):
        first, last = max(dimension.low, math.ceil(low)), min(dimension.high, math.floor(high))
    else:
        begin, end = max(dimension.low, _rounded(low)), min(dimension.high, _rounded(high))
        return replace(dimension, low=begin, high=end) if begin < end else None
    return replace(dimension, low=first, high=last) if first < last else None


def _axis(name: str, dimension: AnyDimension, seen: list[Any]) -> Axis:
    if isinstance(dimension, Choice):
        more = (value for value in dict.fromkeys(seen) if not dimension.contains(value))
        options = (*dimension.options, *more)
        return Axis(name, "choice", -0.5, len(options) - 0.5, options)
    assert not isinstance(dimension, Fixed)
    is_log = isinstance(dimension, LogUniform | LogInteger)
    numbers = [one for one in seen if isinstance(one, int | float) and not isinstance(one, bool)]
    numbers = [one for one in numbers if one > 0] if is_log else numbers
    low, high = min([dimension.low, *numbers]), max([dimension.high, *numbers])
    return Axis(name, "log" if is_log else "linear", float(low), float(high))


def _rounded(value: float) -> float:
    return float(f"{value:.3g}")


def _same(one: object, other: object) -> bool:
    return one == other and isinstance(one, bool) == isinstance(other, bool)
