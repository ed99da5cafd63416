"""Options of a caller as a value of a kind, or an error that says which there are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeVar

import msgspec

from interactive_dl.errors import RequestError

T = TypeVar("T")


def converted(given: Mapping[str, Any], kind: type[T], asked: str, advice: str) -> T:
    """Check what was given and make a request of it.

    Args:
        given: options by name.
        kind: a dataclass of options, whose defaults are values and whose types are msgspec's.
        asked: who is asked: ``Slurm is asked``.
        advice: what to do about an option that is not known.

    Raises:
        RequestError: an option is unknown, or a value makes no sense.
    """
    known = {field.name: field.default for field in fields(kind)}  # type: ignore[arg-type]
    if unknown := sorted(set(given) - set(known)):
        valid = ", ".join(f"{name}={default!r}" for name, default in known.items())
        raise RequestError(
            f"{asked} with options that are known, but got {', '.join(unknown)}. Valid are"
            f" (with defaults): {valid}. {advice}"
        )
    try:
        return msgspec.convert(dict(given), kind)
    except msgspec.ValidationError as error:
        name = str(error).partition("`$.")[2].partition("`")[0].partition("[")[0]
        raise RequestError(
            f"An option of a request must fit its kind, but got {name}={given.get(name)!r}:"
            f" {error}. Type: help({kind.__module__}.{kind.__qualname__})"
        ) from error
