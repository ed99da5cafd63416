"""What to search: parameters by name, each with its range; frozen values that JSON can hold.

space = Space.of({
    "lr": log_uniform(1e-5, 1e-1),
    "optimizer": choice("adam", "sgd"),
    "momentum": uniform(0, 0.99).when(optimizer="sgd"),
    "batch_size": 128,
})
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from interactive_dl.errors import SpaceError
from interactive_dl.search.ranges import AnyDimension, Dimension, Fixed, Value, fixed, plain, words


class Space(msgspec.Struct, frozen=True):
    """Parameters by name; made by ``Space.of``, which checks them.

    Attributes:
        dimensions: in an order in which each comes after those that its conditions name.
    """

    dimensions: dict[str, AnyDimension]

    @classmethod
    def of(cls, dimensions: Mapping[str, Any]) -> Space:
        """Check and order a space.

        Args:
            dimensions: ranges by name; a bare value is fixed.

        Raises:
            SpaceError: a range makes no sense, or a condition cannot be met.
        """
        if not dimensions:
            raise SpaceError(
                "A space needs one parameter or more, but got none. For example:"
                ' {"lr": idl.log_uniform(1e-5, 1e-1)}'
            )
        given: dict[str, AnyDimension] = {
            str(name): value if isinstance(value, AnyDimension) else fixed(value)
            for name, value in dimensions.items()
        }
        for name, dimension in given.items():
            dimension.check(name)
            _check_conditions(name, dimension, given)
        return cls(dict(_ordered(given)))

    def active(self, params: Mapping[str, Any]) -> dict[str, AnyDimension]:
        """The dimensions that are there with these parameters."""
        return {n: d for n, d in self.dimensions.items() if self.is_active(n, params)}

    def is_active(self, name: str, params: Mapping[str, Any]) -> bool:
        """Whether a parameter is there, as far as those before it are known."""
        return all(condition.holds(params) for condition in self.dimensions[name].conditions)

    def complete(self, params: Mapping[str, Any]) -> dict[str, Value]:
        """Parameters of a trial that somebody picks by hand; fixed ones may be left out.

        Raises:
            SpaceError: one is missing, unknown, outside of its range, or has no place here.
        """
        full: dict[str, Value] = {}
        for name, dimension in self.dimensions.items():
            if not self.is_active(name, full):
                continue
            if name in params:
                full[name] = plain(params[name])
            elif isinstance(dimension, Fixed):
                full[name] = dimension.value
        self._check_names(params, full)
        for name, value in full.items():
            if not self.dimensions[name].contains(value):
                raise SpaceError(
                    f"A parameter must lie in its range, but got {name}={value!r} for"
                    f" {words(self.dimensions[name])}. Extend it first:"
                    f" search.set_range({name!r}, ...)"
                )
        return full

    def contains(self, params: Mapping[str, Any]) -> bool:
        """Whether these are the parameters of a trial of this space."""
        there = self.active(params)
        return there.keys() == params.keys() and all(
            dimension.contains(params[name]) for name, dimension in there.items()
        )

    def sample(self, fractions: Iterator[float]) -> dict[str, Value]:
        """A point, from one number of [0, 1) for each parameter that is there."""
        params: dict[str, Value] = {}
        for name, dimension in self.dimensions.items():
            if self.is_active(name, params):
                params[name] = dimension.at(next(fractions))
        return params

    def ranged(self, name: str, dimension: AnyDimension) -> Space:
        """The same space with a range narrowed, extended or replaced; conditions stay.

        Raises:
            SpaceError: there is no such parameter, or the range makes no sense.
        """
        if name not in self.dimensions:
            raise SpaceError(
                f"A range is changed by its parameter's name, one of {sorted(self.dimensions)}, but"
                f" got {name!r}."
            )
        kept = self.dimensions[name].conditions
        dimension.check(name)
        changed = msgspec.structs.replace(dimension, conditions=kept)
        return Space({**self.dimensions, name: changed})

    def _check_names(self, params: Mapping[str, Any], full: Mapping[str, Any]) -> None:
        missing = sorted(self.active(full).keys() - full.keys())
        surplus = sorted(params.keys() - full.keys())
        if missing or surplus:
            raise SpaceError(
                "A trial has a value for each parameter that is there,"
                f" {sorted(self.active(full))}, but got {sorted(params)}: missing {missing},"
                f" without a place {surplus}."
            )


def _ordered(given: dict[str, AnyDimension]) -> Iterator[tuple[str, AnyDimension]]:
    left, known = dict(given), set[str]()
    while left:
        ready = [n for n, d in left.items() if all(c.parameter in known for c in d.conditions)]
        if not ready:
            raise SpaceError(f"Conditions must not go in a circle, but {sorted(left)} do.")
        for name in ready:
            yield name, left.pop(name)
        known.update(ready)


def _check_conditions(name: str, dimension: Dimension, given: Mapping[str, AnyDimension]) -> None:
    for condition in dimension.conditions:
        parent = given.get(condition.parameter)
        if parent is None:
            raise SpaceError(
                f"A condition names another parameter of the space, one of {sorted(given)}, but"
                f" {name!r} has .when({condition.parameter}=...)."
            )
        if not any(parent.contains(value) for value in condition.values):
            raise SpaceError(
                f"A condition must be possible, but {name!r} asks for {condition.parameter} in"
                f" {condition.values}, and that is {words(parent)}."
            )
