"""What a person types for a point of the space, or for a range, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from interactive_dl.errors import SearchError, SpaceError
from interactive_dl.search import actions
from interactive_dl.search.ranges import (
    AnyDimension,
    Choice,
    Fixed,
    Integer,
    LogInteger,
    Value,
    words,
)
from interactive_dl.search.space import Space

if TYPE_CHECKING:
    from interactive_dl.search.book import Book

Texts = Mapping[str, str]
"""What a person has typed, by parameter."""


@dataclass(frozen=True)
class Field:
    """A parameter to be filled in.

    Attributes:
        name: of the parameter.
        options: to choose from; empty where something is typed.
        hint: its range in words.
        is_fixed: whether there is nothing to choose.
    """

    name: str
    options: tuple[str, ...]
    hint: str
    is_fixed: bool


def fields(space: Space) -> tuple[Field, ...]:
    """A field for each parameter, in the order in which they depend on one another."""
    return tuple(_field(name, dimension) for name, dimension in space.dimensions.items())


def texts(space: Space, params: Mapping[str, Value] | None = None) -> dict[str, str]:
    """What stands in the fields at first.

    Args:
        space: of the search.
        params: of a trial to be cloned; without one, the middle of each range.
    """
    given = params or {}
    return {
        name: text(given[name] if name in given else dimension.at(0.5))
        for name, dimension in space.dimensions.items()
    }


def text(value: Value) -> str:
    """A value as it is typed."""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def there(space: Space, typed: Texts) -> dict[str, bool]:
    """Which parameters are there, given what was typed for those they depend on."""
    found: dict[str, Any] = {}
    active = {}
    for name, dimension in space.dimensions.items():
        active[name] = space.is_active(name, found)
        if active[name]:
            try:
                found[name] = parsed(name, dimension, typed.get(name, ""))
            except SpaceError:
                found[name] = None
    return active


def parsed(name: str, dimension: AnyDimension, typed: str) -> Value:
    """What was typed, as a value of a parameter; whether it is in the range is not looked at.

    Raises:
        SpaceError: it is no number, or none of the options.
    """
    if isinstance(dimension, Fixed):
        return dimension.value
    if isinstance(dimension, Choice):
        options = {text(option): option for option in dimension.options}
        if typed not in options:
            raise SpaceError(f"{name} is one of {', '.join(options)}, but got {typed!r}.")
        return options[typed]
    return _number(name, typed, is_whole=isinstance(dimension, Integer | LogInteger))


def point(space: Space, typed: Texts) -> dict[str, Value]:
    """The parameters that were typed.

    Raises:
        SpaceError: one is no number, or outside of its range.
    """
    active = there(space, typed)
    return space.complete(
        {
            name: parsed(name, dimension, typed.get(name, ""))
            for name, dimension in space.dimensions.items()
            if active[name]
        }
    )


def edits(book: Book, number: int, typed: Texts) -> dict[str, Value]:
    """Which of a trial's parameters were typed anew.

    Raises:
        SpaceError: an edit is no number or outside of its range, or what was left as it was is
            outside of a range by now.
        TransitionError: there is no such trial.
    """
    space, params = book.space, book.trial(number).params
    active = there(space, typed)
    changed = {
        name: parsed(name, dimension, typed.get(name, ""))
        for name, dimension in space.dimensions.items()
        if active[name] and (name not in params or typed.get(name, "") != text(params[name]))
    }
    actions.edited(book, number, changed)
    return changed


def problem(book: Book, number: int | None, typed: Texts) -> str:
    """What is wrong with what was typed; empty if nothing is.

    Args:
        book: of the search.
        number: of the trial to be cloned; None for a new point.
        typed: by parameter.
    """
    try:
        point(book.space, typed) if number is None else edits(book, number, typed)
    except SearchError as error:
        return str(error)
    return ""


def ends(dimension: AnyDimension) -> tuple[str, str] | str:
    """A range as it is typed: its two ends, or its options with commas between."""
    if isinstance(dimension, Choice):
        return ", ".join(map(text, dimension.options))
    if isinstance(dimension, Fixed):
        return text(dimension.value)
    return text(dimension.low), text(dimension.high)


def ranged(name: str, dimension: AnyDimension, typed: tuple[str, str] | str) -> AnyDimension:
    """A range of the same kind, as it was typed.

    Raises:
        SpaceError: it makes no sense.
    """
    replace = msgspec.structs.replace
    if isinstance(dimension, Choice | Fixed):
        given = typed if isinstance(typed, str) else ", ".join(typed)
        options = tuple(_value(one.strip()) for one in given.split(",") if one.strip())
        if isinstance(dimension, Fixed) and len(options) == 1:
            changed: AnyDimension = Fixed(value=options[0])
        else:
            changed = Choice(options=options)
    else:
        is_whole = isinstance(dimension, Integer | LogInteger)
        low, high = (_number(name, one, is_whole=is_whole) for one in typed)
        changed = replace(dimension, low=low, high=high)
    changed.check(name)
    return replace(changed, conditions=dimension.conditions)


def number(name: str, typed: str) -> float | None:
    """A limit that was typed; None where nothing was, for no end.

    Raises:
        SpaceError: it is no number.
    """
    return None if not typed.strip() else float(_number(name, typed, is_whole=False))


def whole(name: str, typed: str) -> int | None:
    """As ``number``, for what is counted."""
    return None if not typed.strip() else int(_number(name, typed, is_whole=True))


def _field(name: str, dimension: AnyDimension) -> Field:
    options = dimension.options if isinstance(dimension, Choice) else ()
    condition = ", ".join(
        f"{one.parameter}={' or '.join(map(str, one.values))}" for one in dimension.conditions
    )
    hint = words(dimension) + (f" where {condition}" if condition else "")
    return Field(name, tuple(map(text, options)), hint, isinstance(dimension, Fixed))


def _number(name: str, typed: str, *, is_whole: bool) -> float | int:
    try:
        return int(typed.strip()) if is_whole else float(typed.strip())
    except ValueError:
        what = "a whole number, as 64" if is_whole else "a number, as 0.003 or 3e-3"
        raise SpaceError(f"{name} is {what}, but got {typed!r}.") from None


def _value(typed: str) -> Value:
    """An option as it was typed: a number or a word of JSON where it is one, else a text."""
    known: dict[str, Value] = {"None": None, "True": True, "False": False}
    if typed in known:
        return known[typed]
    for kind in (int, float):
        try:
            return kind(typed)
        except ValueError:
            continue
    return typed
