"""The range of one parameter, and what can be done with it; frozen values that JSON can hold."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, Self, TypeVar

import msgspec

from interactive_dl.errors import SpaceError

_D = TypeVar("_D", bound="Dimension")

Value = str | int | float | bool | None
"""What a parameter can be."""


class When(msgspec.Struct, frozen=True):
    """A parameter is there only where another has one of these values."""

    parameter: str
    values: tuple[Value, ...]

    def holds(self, params: Mapping[str, Any]) -> bool:
        """Whether it is met by these parameters."""
        return self.parameter in params and _is_among(params[self.parameter], self.values)


class Dimension(msgspec.Struct, frozen=True, tag_field="kind", tag=str.lower, omit_defaults=True):
    """Root of the ranges.

    Attributes:
        conditions: all must hold for the parameter to be there.
    """

    conditions: tuple[When, ...] = msgspec.field(default=(), name="when")

    def when(self, **values: Value | tuple[Value, ...] | list[Value]) -> Self:
        """The same range, there only where other parameters have these values.

        Args:
            values: by the other parameter's name; several in a tuple.
        """
        more = tuple(
            When(name, tuple(value) if isinstance(value, tuple | list) else (value,))
            for name, value in values.items()
        )
        return msgspec.structs.replace(self, conditions=self.conditions + more)

    def check(self, name: str) -> None:
        """Raise SpaceError where the range of ``name`` makes no sense."""
        raise NotImplementedError

    def contains(self, value: object) -> bool:
        """Whether the parameter can have this value."""
        raise NotImplementedError

    def at(self, fraction: float) -> Any:
        """The value at a place of the range.

        Args:
            fraction: from 0 to 1, both inclusive; each as likely makes a draw from the range.
        """
        raise NotImplementedError

    def place(self, value: Any) -> float:
        """Where a value lies: the inverse of ``at``, beyond 0 to 1 where it is outside."""
        raise NotImplementedError

    def levels(self, count: int) -> tuple[Any, ...]:
        """Up to ``count`` values over the range, for a grid; all of them where it is a choice."""
        values = (self.at(i / max(1, count - 1)) for i in range(count))
        return tuple(dict.fromkeys(values))


class _Range(Dimension, frozen=True, kw_only=True):
    low: float
    high: float

    def check(self, name: str) -> None:
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise SpaceError(
                f"`low < high`, both finite, must hold for {name!r}, but got low={self.low},"
                f" high={self.high}. For one value: fixed({self.low})."
            )

    def contains(self, value: object) -> bool:
        return _is_number(value) and self.low <= value <= self.high  # type: ignore[operator]


class Uniform(_Range, frozen=True, kw_only=True):
    """A float of [low, high], each as likely."""

    def at(self, fraction: float) -> float:
        """The value at a place of the range."""
        return min(self.high, self.low + fraction * (self.high - self.low))

    def place(self, value: Any) -> float:
        """Where a value lies."""
        return (value - self.low) / (self.high - self.low)


class LogUniform(_Range, frozen=True, kw_only=True):
    """A float of [low, high], its logarithm each as likely."""

    def check(self, name: str) -> None:
        """Raise SpaceError where the range makes no sense."""
        super().check(name)
        _check_positive(name, self.low)

    def at(self, fraction: float) -> float:
        """The value at a place of the range."""
        value = self.low * (self.high / self.low) ** fraction
        return min(self.high, max(self.low, value))

    def place(self, value: Any) -> float:
        """Where a value lies."""
        return math.log(max(value, 1e-300) / self.low) / math.log(self.high / self.low)


class _Whole(Dimension, frozen=True, kw_only=True):
    low: int
    high: int

    def check(self, name: str) -> None:
        if not self.low < self.high:
            raise SpaceError(
                f"`low < high` must hold for {name!r}, but got low={self.low}, high={self.high}."
                f" For one value: fixed({self.low})."
            )

    def contains(self, value: object) -> bool:
        is_whole = isinstance(value, int) and not isinstance(value, bool)
        return is_whole and self.low <= value <= self.high  # type: ignore[operator]

    def nearest(self, value: float) -> int:
        """The value of the range that lies nearest."""
        return min(self.high, max(self.low, round(value)))


class Integer(_Whole, frozen=True, kw_only=True):
    """A whole number of [low, high], every ``step``-th from low on."""

    step: int = 1

    def check(self, name: str) -> None:
        """Raise SpaceError where the range makes no sense."""
        super().check(name)
        if self.step < 1 or (self.high - self.low) % self.step:
            raise SpaceError(
                f"`step >= 1` must hold for {name!r} and lead from low to high, but got"
                f" low={self.low}, high={self.high}, step={self.step}."
            )

    def nearest(self, value: float) -> int:
        """The value of the range that lies nearest."""
        stepped = self.low + self.step * round((value - self.low) / self.step)
        return super().nearest(stepped)

    def contains(self, value: object) -> bool:
        """Whether the parameter can have this value."""
        return super().contains(value) and (value - self.low) % self.step == 0  # type: ignore[operator]

    def at(self, fraction: float) -> int:
        """The value at a place of the range."""
        count = (self.high - self.low) // self.step + 1
        return self.low + self.step * min(count - 1, int(fraction * count))

    def place(self, value: Any) -> float:
        """Where a value lies, in the middle of its share."""
        return (value - self.low + self.step / 2) / (self.high - self.low + self.step)


class LogInteger(_Whole, frozen=True, kw_only=True):
    """A whole number of [low, high], its logarithm each as likely."""

    def check(self, name: str) -> None:
        """Raise SpaceError where the range makes no sense."""
        super().check(name)
        _check_positive(name, self.low)

    def at(self, fraction: float) -> int:
        """The value at a place of the range."""
        low, high = self.low - 0.5, self.high + 0.5
        return min(self.high, max(self.low, round(low * (high / low) ** fraction)))

    def place(self, value: Any) -> float:
        """Where a value lies."""
        low, high = self.low - 0.5, self.high + 0.5
        return math.log(max(value, 0.5) / low) / math.log(high / low)


class Choice(Dimension, frozen=True, kw_only=True):
    """One of several values, in no order."""

    options: tuple[Value, ...]

    def check(self, name: str) -> None:
        """Raise SpaceError where the options make no sense."""
        distinct = all(not _is_among(o, self.options[:i]) for i, o in enumerate(self.options))
        if not self.options or not distinct or not all(map(_is_plain, self.options)):
            raise SpaceError(
                f"A choice needs one option or more, all different, each a string, a finite number,"
                f" a bool or None, but {name!r} got {self.options!r}. For other things choose a"
                " name and look it up in the objective."
            )

    def contains(self, value: object) -> bool:
        """Whether the parameter can have this value."""
        return _is_among(value, self.options)

    def at(self, fraction: float) -> Value:
        """The option at a place of the list."""
        return self.options[min(len(self.options) - 1, int(fraction * len(self.options)))]

    def place(self, value: Any) -> float:
        """Where an option lies, in the middle of its share; 2 where it is none."""
        found = (i for i, option in enumerate(self.options) if _is_same(value, option))
        return (next(found, 1.5 * len(self.options)) + 0.5) / len(self.options)

    def levels(self, count: int) -> tuple[Value, ...]:
        """All options."""
        return self.options


class Fixed(Dimension, frozen=True, kw_only=True):
    """One value that is not searched."""

    value: Value

    def check(self, name: str) -> None:
        """Raise SpaceError where JSON cannot hold the value."""
        if not _is_plain(self.value):
            raise SpaceError(
                f"A fixed value is a string, a finite number, a bool or None, but {name!r} got"
                f" {self.value!r}."
            )

    def contains(self, value: object) -> bool:
        """Whether it is the value."""
        return _is_same(value, self.value)

    def at(self, fraction: float) -> Value:
        """The value."""
        return self.value

    def place(self, value: Any) -> float:
        """The middle."""
        return 0.5

    def levels(self, count: int) -> tuple[Value, ...]:
        """The value."""
        return (self.value,)


AnyDimension = Uniform | LogUniform | Integer | LogInteger | Choice | Fixed


def uniform(low: float, high: float) -> Uniform:
    """A float of [low, high], each as likely."""
    return _checked(Uniform(low=float(low), high=float(high)), "uniform(low, high)")


def log_uniform(low: float, high: float) -> LogUniform:
    """A float of [low, high], low > 0, its logarithm each as likely."""
    return _checked(LogUniform(low=float(low), high=float(high)), "log_uniform(low, high)")


def integer(low: int, high: int, step: int = 1) -> Integer:
    """A whole number of [low, high], both inclusive, every ``step``-th from low on."""
    ends = _whole("integer", low), _whole("integer", high)
    dimension = Integer(low=ends[0], high=ends[1], step=_whole("integer", step))
    return _checked(dimension, "integer(low, high, step)")


def log_integer(low: int, high: int) -> LogInteger:
    """A whole number of [low, high], both inclusive, low > 0, its logarithm each as likely."""
    ends = _whole("log_integer", low), _whole("log_integer", high)
    return _checked(LogInteger(low=ends[0], high=ends[1]), "log_integer(low, high)")


def choice(*options: Value | list[Value] | tuple[Value, ...]) -> Choice:
    """One of several values: ``choice("adam", "sgd")`` or ``choice(["adam", "sgd"])``."""
    only = options[0] if len(options) == 1 else None
    listed: Any = only if isinstance(only, list | tuple) else options
    return _checked(Choice(options=tuple(plain(option) for option in listed)), "choice(...)")


def fixed(value: Value) -> Fixed:
    """One value that is not searched; in a space a bare value means the same."""
    return _checked(Fixed(value=plain(value)), "fixed(value)")


def widened(dimension: AnyDimension, values: Iterable[Any]) -> AnyDimension:
    """A range with room for values that lie outside of it.

    Where a range of its kind has no room for them, as it took the place of another, it is a
    uniform one of numbers, and a choice of all the values otherwise.
    """
    known = list(values)
    outside = [value for value in known if not dimension.contains(value)]
    replace = msgspec.structs.replace
    match dimension:
        case Choice(options=options):
            wide: AnyDimension = replace(dimension, options=(*options, *dict.fromkeys(outside)))
        case Fixed(value=value):
            wide = Choice(options=(value, *dict.fromkeys(outside))) if outside else dimension
        case _ if not outside:
            wide = dimension
        case _ if not all(map(_is_number, known)):
            wide = Choice(options=tuple(dict.fromkeys(known)))
        case Uniform() | LogUniform() | Integer() | LogInteger():
            ends = (dimension.low, dimension.high, *outside)
            is_kept = _is_of_kind(dimension, outside)
            kind: Any = dimension if is_kept else Uniform(low=min(ends), high=max(ends))
            wide = replace(kind, low=min(ends), high=max(ends))
            if isinstance(wide, Integer):
                wide = replace(wide, step=1)
    return replace(wide, conditions=dimension.conditions)


def _is_of_kind(dimension: AnyDimension, values: Iterable[Any]) -> bool:
    """Whether a range of this kind can hold numbers, however wide it is."""
    is_whole = isinstance(dimension, Integer | LogInteger)
    is_log = isinstance(dimension, LogUniform | LogInteger)
    return all(
        (isinstance(value, int) or not is_whole) and (value > 0 or not is_log) for value in values
    )


def words(dimension: Dimension) -> str:
    """A range as a person would write it: ``uniform(0.0, 0.6)``."""
    match dimension:
        case Choice(options=options):
            return f"choice({', '.join(map(repr, options))})"
        case Fixed(value=value):
            return f"fixed({value!r})"
        case LogUniform(low=low, high=high):
            return f"log_uniform({low}, {high})"
        case LogInteger(low=low, high=high):
            return f"log_integer({low}, {high})"
        case Integer(low=low, high=high, step=step):
            return f"integer({low}, {high}{'' if step == 1 else f', step={step}'})"
        case Uniform(low=low, high=high):
            return f"uniform({low}, {high})"
    raise TypeError(type(dimension).__name__)


def _checked(dimension: _D, form: str) -> _D:
    dimension.check(form)
    return dimension


def _check_positive(name: str, low: float) -> None:
    if low <= 0:
        raise SpaceError(
            f"`low > 0` must hold for the logarithm of {name!r}, but got low={low}. Where 0 has a"
            " meaning of its own, make it a choice, and the range conditional on it."
        )


def _whole(form: str, value: Any) -> int:
    value = plain(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise SpaceError(f"{form}() takes whole numbers, but got {value!r}. Floats: uniform().")
    return value


def plain(value: Any) -> Any:
    """NumPy's numbers as numbers."""
    return value.item() if hasattr(value, "item") else value


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_plain(value: object) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    return value is None or isinstance(value, str | int | bool)


def _is_same(one: object, other: object) -> bool:
    """Equal and of one kind: True is not 1."""
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def _is_among(value: object, values: tuple[Value, ...]) -> bool:
    return any(_is_same(value, other) for other in values)
