"""Plug-ins by name, with keyword arguments as options."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from interactive_dl.errors import UnknownNameError

Made = TypeVar("Made")


def look_up(what: str, name: str, known: Mapping[str, Callable[..., Made]]) -> Callable[..., Made]:
    """The one of this name.

    Raises:
        UnknownNameError: there is none; it names those that there are.
    """
    if name not in known:
        raise UnknownNameError(
            f"A {what} is chosen by name, one of {', '.join(sorted(known))}, but got {name!r}."
        )
    return known[name]


def check_options(
    what: str, name: str, make: Callable[..., Any], options: Mapping[str, Any]
) -> None:
    """See that all options are known.

    Raises:
        UnknownNameError: one is not; it names every option with its default.
    """
    if not options:  # asked for every point
        return
    parameters = inspect.signature(make).parameters.values()
    known = {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}
    unknown = sorted(options.keys() - known.keys())
    if unknown:
        shown = ", ".join(f"{k}={v!r}" for k, v in sorted(known.items())) or "none"
        raise UnknownNameError(
            f"The {what} {name!r} takes these options, with their defaults: {shown}; but got"
            f" {', '.join(unknown)}."
        )
