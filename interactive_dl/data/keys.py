"""Names of the arrays in a data file: given by the user, or found by convention."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from interactive_dl.data.locate import Place
from interactive_dl.errors import MissingKeyError

CONVENTIONS = (
    ("all_events/hist", "all_events/y"),
    ("hist", "y"),
    ("x", "y"),
)
"""Names of x and y that are found without being given: first the layout of the RPV files."""


@dataclass(frozen=True)
class Keys:
    """Which arrays of a file are x, y and weight; None: by convention, for weight none at all."""

    x: str | None = None
    y: str | None = None
    weight: str | None = None

    def candidates(self) -> list[tuple[str, ...]]:
        """Names of x, y and perhaps weight, in order of preference."""
        weight = () if self.weight is None else (self.weight,)
        return [(self.x or x, self.y or y, *weight) for x, y in CONVENTIONS]


def choose(keys: Keys, present: Sequence[str], place: Place) -> tuple[str, ...]:
    """Full names of x, y and perhaps weight among the arrays ``present`` in a file.

    Raises:
        MissingKeyError: they are not there; the message lists those that are.
    """
    candidates = [tuple(place.name(key) for key in names) for names in keys.candidates()]
    for names in candidates:
        if set(names) <= set(present):
            return names
    nearest = min(candidates, key=lambda names: len(set(names) - set(present)))
    missing = next(name for name in nearest if name not in present)
    raise MissingKeyError(
        f"{place.file} has no array {missing!r}. It has: {', '.join(sorted(present)) or 'none'}."
        ' Name yours: data.open(path, split=..., x="...", y="...", weight="...").'
    )
