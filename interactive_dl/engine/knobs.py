"""What of a training can be changed while it runs.

The learning rate is a variable of the optimizer; momentum, weight decay, clipping and dropout rates
are Python numbers that Keras compiles into the step. Changing one of those makes the step be
compiled anew (a second or so, on all ranks together), which leaves optimizer, layers and their
configurations what they are.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean
from typing import Any

import keras

from interactive_dl.engine import _rate

ALL_DROPOUT = "dropout"
"""The knob of all dropout layers together."""

_INFINITY = math.inf
_CLIPPING = ("clipnorm", "global_clipnorm", "clipvalue")
_BELOW_ONE = math.nextafter(1.0, 0.0)


@dataclass(frozen=True)
class Knob:
    """A number that a person may change during a training.

    Of your own: ``Knob("temperature", get=lambda: float(t.value), set=t.assign)`` for a variable
    ``t`` that the step reads. It must do on every rank the same.

    Attributes:
        name: what ``run.set(name=...)`` calls it.
        get: its value now.
        set: changes it; called on every rank after the same step.
        low: the least value allowed.
        high: the largest.
        integer: whether it counts something.
        needs_retrace: whether the value is compiled into the step.
        refusal: why it cannot be set to a value although it lies within the limits; None if it can.
    """

    name: str
    get: Callable[[], float]
    set: Callable[[float], Any]
    low: float = -_INFINITY
    high: float = _INFINITY
    integer: bool = False
    needs_retrace: bool = False
    refusal: Callable[[float], str | None] = lambda _value: None

    def check(self, value: object) -> float:
        """The value as a number.

        Raises:
            ValueError: it is no number, or out of the limits.
        """
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"{self.name} must be a number, but got {value!r}.")
        if not math.isfinite(value) or not self.low <= value <= self.high:
            raise ValueError(f"{self.name} must be {self._limits()}, but got {value!r}.")
        if self.integer and value != int(value):
            raise ValueError(f"{self.name} must be a whole number, but got {value!r}.")
        if reason := self.refusal(value):
            raise ValueError(f"{self.name} cannot be {value!r}: {reason}")
        return int(value) if self.integer else float(value)

    def _limits(self) -> str:
        if self.high == _INFINITY:
            return f">= {self.low:g}"
        top = "< 1" if self.high == _BELOW_ONE else f"<= {self.high:g}"
        return f">= {self.low:g} and {top}"


def knobs_of(model: keras.Model, more: Iterable[Knob] = ()) -> dict[str, Knob]:
    """All knobs of a compiled model by name, ``more`` included."""
    found = [*_of_optimizer(model.optimizer), *_of_layers(model), *more]
    return {knob.name: knob for knob in found}


def check(knobs: Mapping[str, Knob], values: Mapping[str, object]) -> dict[str, float]:
    """Refuse what cannot be set.

    Raises:
        ValueError: an unknown knob, or a value that it does not take. Nothing has changed then.
    """
    if not values:
        raise ValueError(f"Give at least one knob of {', '.join(sorted(knobs))}.")
    for name in values:
        if name not in knobs:
            raise ValueError(
                f"{name!r} is no knob of this run; they are {', '.join(sorted(knobs))}."
            )
    checked = {name: knobs[name].check(value) for name, value in values.items()}
    clips = [name for name in _CLIPPING if checked.get(name)]
    if len(clips) > 1:
        raise ValueError(f"Only one kind of clipping can be on, but got {' and '.join(clips)}.")
    return checked


def _of_optimizer(optimizer: Any) -> Iterator[Knob]:
    inner = _rate.innermost(optimizer)
    if isinstance(inner, keras.optimizers.MultiOptimizer):
        return  # each of its optimizers has knobs of its own, under the same names
    parts = _rate.parts(optimizer)
    if any(_rate.has_fixed_rate(part) for part in parts):
        yield Knob(
            "learning_rate",
            get=lambda: _rate.get_rate(optimizer),
            set=lambda value: _rate.set_rate(optimizer, value, momentum_correction=False),
            low=0.0,
            refusal=_needs_fixed_rate(optimizer),
        )
    if len(parts) > 1:
        return  # each stage's optimizer has knobs of its own, under the same names
    for name in ("momentum", "beta_1", "beta_2", "rho"):
        if isinstance(getattr(inner, name, None), float):
            yield _compiled(inner, name, high=_BELOW_ONE, refusal=_needs_slots(inner, name))
    for name in ("weight_decay", *_CLIPPING):
        if hasattr(inner, name):
            yield _compiled(inner, name, off=None, refusal=_excludes_others(inner, name))


def _of_layers(model: keras.Model) -> Iterator[Knob]:
    layers = [layer for layer in model._flatten_layers() if _drops(layer)]
    for layer in layers:
        yield _rate_of(f"{layer.name}.rate", [layer])
    if layers:
        yield _rate_of(ALL_DROPOUT, layers)


def _rate_of(name: str, layers: Sequence[Any]) -> Knob:
    def change(value: float) -> None:
        for layer in layers:
            layer.rate = value

    return Knob(
        name,
        get=lambda: mean(float(layer.rate) for layer in layers),
        set=change,
        low=0.0,
        high=_BELOW_ONE,
        needs_retrace=True,
    )


def _drops(layer: Any) -> bool:
    """Whether it is a dropout layer that has what it takes to drop: Keras gives those that begin
    with a rate of 0 no random generator.
    """
    kinds = (keras.layers.Dropout, keras.layers.GaussianDropout, keras.layers.AlphaDropout)
    return isinstance(layer, kinds) and hasattr(layer, "seed_generator")


def _compiled(
    optimizer: Any,
    name: str,
    *,
    high: float = _INFINITY,
    off: float | None = 0.0,
    refusal: Callable[[float], str | None],
) -> Knob:
    """A number of the optimizer; ``off`` is what Keras wants for 0."""
    return Knob(
        name,
        get=lambda: float(getattr(optimizer, name) or 0.0),
        set=lambda value: setattr(optimizer, name, value or off),
        low=0.0,
        high=high,
        needs_retrace=True,
        refusal=refusal,
    )


def _needs_fixed_rate(optimizer: Any) -> Callable[[float], str | None]:
    """Of several stages, some may have a rate and some a schedule."""

    def refusal(_value: float) -> str | None:
        if _rate.has_fixed_rate(optimizer):
            return None
        return "the optimizer in charge has a schedule of its own."

    return refusal


def _needs_slots(optimizer: Any, name: str) -> Callable[[float], str | None]:
    """Momentum needs variables that Keras makes when the optimizer is built, or never."""

    def refusal(value: float) -> str | None:
        if name != "momentum" or not value or not optimizer.built or _slots(optimizer):
            return None
        return "the optimizer was built without momentum. Compile with a small one to begin with."

    return refusal


def _slots(optimizer: Any) -> list[Any]:
    return list(getattr(optimizer, "momentums", None) or getattr(optimizer, "_momentums", []))


def _excludes_others(optimizer: Any, name: str) -> Callable[[float], str | None]:
    def refusal(value: float) -> str | None:
        others = [other for other in _CLIPPING if other != name and getattr(optimizer, other)]
        if name not in _CLIPPING or not value or not others:
            return None
        return f"{others[0]} is on. Set {others[0]} to 0 first."

    return refusal
