"""Population-based training: who copies whom, and what is tried instead; pure decisions.

A trial is compared with what the others had come to by the same step, those that are behind too, as
in Jaderberg et al. (arXiv:1711.09846): were it to wait for them, one that is always the first at a
step would never give way. One of the worst goes on from the checkpoint of one of the best (exploit)
with parameters changed a little (explore): in the book that is a trial of origin ``exploit`` that
begins warm, and takes the worse one's place.
"""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import NamedTuple

from interactive_dl.search.book import Book, Trial
from interactive_dl.search.ranges import AnyDimension, Choice, Fixed, Integer, LogInteger, Value
from interactive_dl.search.space import Space

_FACTORS = (0.8, 1.2)
_IN_THE_POPULATION = ("running", "paused", "queued", "finished")
_RESAMPLE = 0.25
"""How often a choice is drawn anew."""


class Exploit(NamedTuple):
    """A trial gives its place to one that goes on from ``parent`` with ``params``."""

    parent: int
    params: dict[str, Value]


def decide(
    book: Book,
    number: int,
    step: int,
    value: float | None,
    random: Random,
    *,
    fraction: float = 0.25,
) -> Exploit | None:
    """Whether a trial that reports ``value`` at ``step`` gives way, and to whom.

    Args:
        book: of the search; it need not have the report yet.
        number: of the trial.
        step: up to which the population is compared; every so many steps.
        value: of the search's metric; None where it is not finite.
        random: draws the parent and its changes.
        fraction: so many of the population are the worst, and so many the best.

    Returns:
        None where it goes on: it has no value, is not one of the worst, or nobody better has a
        checkpoint.
    """
    if value is None:
        return None
    ranked = _ranked(book, step, {number: value})
    count = int(len(ranked) * fraction)
    if count == 0 or number not in {trial.number for trial in ranked[-count:]}:
        return None
    parents = [trial for trial in ranked[:count] if trial.checkpoint]
    if not parents:
        return None
    parent = random.choice(parents)
    return Exploit(parent.number, explore(book.space, parent.params, random))


def explore(space: Space, params: Mapping[str, Value], random: Random) -> dict[str, Value]:
    """Parameters near a parent's: numbers times 0.8 or 1.2, choices now and then drawn anew.

    They stay within the space; a parameter that comes in with a choice is drawn.
    """
    near: dict[str, Value] = {}
    for name, dimension in space.dimensions.items():
        if space.is_active(name, near):
            near[name] = _near(dimension, params.get(name), random)
    return near


def _near(dimension: AnyDimension, value: Value, random: Random) -> Value:
    if isinstance(dimension, Fixed):
        return dimension.value
    if isinstance(dimension, Choice):
        keeps = dimension.contains(value) and random.random() >= _RESAMPLE
        return value if keeps else dimension.at(random.random())
    if value is None:
        return dimension.at(random.random())
    changed = float(value) * random.choice(_FACTORS)
    if isinstance(dimension, Integer | LogInteger):
        return dimension.nearest(changed)
    return min(dimension.high, max(dimension.low, changed))


def _ranked(book: Book, step: int, reported: Mapping[int, float]) -> list[Trial]:
    """The trials that were not given up, by the newest value up to this step, the best first.

    Args:
        book: of the search.
        step: of its reports.
        reported: values at this step, by trial; over the book's.
    """
    sign = 1 if book.began is None or book.began.direction == "minimize" else -1
    values = {
        trial.number: sign * value
        for trial in book.trials
        if trial.state in _IN_THE_POPULATION
        and (value := reported.get(trial.number, _newest(trial, step))) is not None
    }
    return [book.trials[number] for number in sorted(values, key=lambda one: (values[one], one))]


def _newest(trial: Trial, step: int) -> float | None:
    """What a trial was judged by last, up to a step; None where it was not."""
    at = next((one for one in reversed(trial.judging) if one <= step), None)
    return None if at is None else trial.judging[at]
