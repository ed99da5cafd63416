"""The Optuna study of a search: a projection of its book, for asking and judging.

It may be thrown away at any time and made again, and then proposes and judges as the old one would
have. A trial has one number in the journal, the book and the study.

Optuna compares parameters over trials by one range each. So when a range was changed the study is
made again, every trial that lies in the new space with the new ranges; those that do not are there
without parameters, and tell the sampler nothing until the range is extended again.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState

from interactive_dl.errors import SearchError
from interactive_dl.search import _optuna, events, pruners, samplers, words
from interactive_dl.search._grid import GridSampler
from interactive_dl.search.book import Book, Trial
from interactive_dl.search.ranges import Value, widened
from interactive_dl.search.space import Space


class Point(NamedTuple):
    """What a sampler proposes, and what it notes; both go into the ``TrialCreated``."""

    params: dict[str, Value]
    notes: dict[str, Any]


class Verdict(NamedTuple):
    """Whether a trial is hopeless, and what the pruner notes; that goes into the ``Reported``."""

    is_hopeless: bool
    notes: dict[str, Any]


class Study:
    """Asks and judges for one search; made by ``Study.of``.

    One round of whoever runs the search:

        point = study.ask()
        ... write TrialCreated, book.add(it)
        study.created(book.trials[-1])
        ... verdict = study.judge(number, step, value), write Reported, book.add(it)
        ... write TrialEnded, book.add(it)
        study.ended(book.trials[number])
    """

    def __init__(self, run: str, began: events.SearchBegan, space: Space, version: int) -> None:
        self._began, self._space, self._version = began, space, version
        self._storage = optuna.storages.InMemoryStorage()
        self._study = optuna.create_study(
            storage=self._storage,
            study_name=run,  # Hyperband's brackets depend on it
            direction=began.direction,
            sampler=self._sampler(0),
            pruner=pruners.make(began.pruner, began.pruner_options),
        )
        self._count = 0
        self._is_asked = False

    @classmethod
    def of(cls, book: Book) -> Study:
        """The study of a book, as it is now.

        Raises:
            SearchError: the search has not begun, or has a sampler or pruner that is not there.
        """
        if book.began is None:
            raise SearchError("A study is of a search that has begun, but this journal is empty.")
        study = cls(book.run, book.began, book.space, book.range_version)
        for trial in book.trials:
            study.created(trial)
        return study

    @property
    def projection(self) -> optuna.Study:
        """The Optuna study, to look at."""
        return self._study

    def is_of(self, book: Book) -> bool:
        """Whether it still goes by the book's ranges; else make another."""
        return self._version == book.range_version

    def ask(self) -> Point | None:
        """The point of the next trial; None where the sampler has no further ones.

        Raises:
            SearchError: the point that was asked for last has not been ``created``.
        """
        number = self._count
        self._expect_created()
        sampler = self._study.sampler = self._sampler(number)
        if isinstance(sampler, GridSampler) and sampler.is_exhausted(self._study):
            return None
        trial = self._study.ask()
        self._is_asked = True
        params: dict[str, Value] = {}
        for name, dimension in self._space.dimensions.items():
            if self._space.is_active(name, params):
                params[name] = _optuna.suggest(trial, name, dimension)
        return Point(params, dict(self._storage.get_trial(number).system_attrs))

    def created(self, trial: Trial) -> None:
        """Take in a trial that was created, by ``ask`` or otherwise.

        Raises:
            SearchError: it is not the one that comes next.
        """
        if trial.number != self._count:
            raise SearchError(
                f"The study's next trial is {self._count}, but got {trial.number}. Make it again:"
                " Study.of(book)."
            )
        if not (self._is_asked and trial.origin == "sampler"):
            self._expect_created()
            self._study.add_trial(self._projected(trial))
        self._is_asked = False
        self._count += 1

    def judge(self, number: int, step: int, value: float | None) -> Verdict:
        """Whether a running trial is hopeless that has just reported.

        Args:
            number: of the trial.
            step: that it reported.
            value: of the search's metric; None where it is not finite, which is hopeless.
        """
        if self._began.pruner == "none":
            return Verdict(False, {})
        if value is None or not math.isfinite(value):
            return Verdict(True, {})
        self._storage.set_trial_intermediate_value(number, step, value)
        before = self._storage.get_trial(number)
        is_hopeless = self._study.pruner.prune(self._study, before)
        after = self._storage.get_trial(number).system_attrs
        notes = {k: v for k, v in after.items() if k not in before.system_attrs}
        return Verdict(is_hopeless, notes)

    def ended(self, trial: Trial) -> None:
        """Take in how a trial ended."""
        told = self._storage.get_trial(trial.number)
        is_inside = bool(told.params) or not self._searched(trial)
        state = _state(trial) if is_inside else TrialState.FAIL
        value = trial.value if state is TrialState.COMPLETE else None
        if state is TrialState.PRUNED and not told.intermediate_values:
            step = max(trial.judging)
            self._storage.set_trial_intermediate_value(trial.number, step, trial.judging[step])
        self._study.tell(trial.number, value, state)

    def _sampler(self, number: int) -> optuna.samplers.BaseSampler:
        began = self._began
        seed = samplers.seed_of(began.seed, number)
        return samplers.make(began.sampler, self._space, seed, began.sampler_options)

    def _expect_created(self) -> None:
        if self._is_asked:
            raise SearchError(
                f"A point that was asked for is created before anything else, but {self._count} was"
                " not. Make the study again: Study.of(book)."
            )

    def _searched(self, trial: Trial) -> dict[str, BaseDistribution]:
        return _optuna.distributions(self._space.active(trial.params))

    def _projected(self, trial: Trial) -> FrozenTrial:
        """The trial as Optuna sees it: without parameters where it lies outside of the space."""
        is_inside = self._space.contains(trial.params)
        distributions = self._searched(trial) if is_inside else {}
        state = _state(trial)
        if not is_inside and state is not TrialState.RUNNING:
            state = TrialState.FAIL
        notes = trial.notes if trial.range_version == self._version else {}
        return optuna.trial.create_trial(
            state=state,
            value=_value(trial, state),
            params={name: trial.params[name] for name in distributions},
            distributions=distributions,
            system_attrs={**notes, **trial.rungs},
            intermediate_values=trial.judging,
        )


def export(book: Book, storage: Any, name: str | None = None) -> optuna.Study:
    """Copy a search into one of Optuna's storages, as for ``optuna-dashboard``.

    Args:
        book: of the search.
        storage: an Optuna storage, or its address: ``sqlite:///search.db``.
        name: of the study; the search's id by default.

    Raises:
        SearchError: there is nothing to export, or the name is taken.
    """
    if book.began is None:
        raise SearchError("A search that has begun can be exported, but this journal is empty.")
    name = name or words.search_of(book.run)
    try:
        study = optuna.create_study(
            storage=storage, study_name=name, direction=book.began.direction
        )
    except optuna.exceptions.DuplicatedStudyError as error:
        raise SearchError(
            f"A study is exported once, but {name!r} is there. Give another name=, or"
            " another storage."
        ) from error
    ranges = _every_range(book)
    study.add_trials([_exported(trial, ranges) for trial in book.trials])
    return study


def _state(trial: Trial) -> TrialState:
    """Trials that were stopped by hand count as pruned: what they reported is worth knowing."""
    if not trial.is_over:
        return TrialState.RUNNING
    if trial.state == "finished" and trial.value is not None:
        return TrialState.COMPLETE
    if trial.state in ("pruned", "stopped") and trial.judging:
        return TrialState.PRUNED
    return TrialState.FAIL


def _value(trial: Trial, state: TrialState) -> float | None:
    if state is TrialState.PRUNED:
        return trial.judging[max(trial.judging)]
    return trial.value if state is TrialState.COMPLETE else None


def _every_range(book: Book) -> Space:
    """The space with ranges so wide that every trial lies inside: a dashboard shows all of them."""
    space = book.space
    for name, dimension in space.dimensions.items():
        values = [trial.params[name] for trial in book.trials if name in trial.params]
        space = space.ranged(name, widened(dimension, values))
    return space


def _exported(trial: Trial, space: Space) -> FrozenTrial:
    distributions = _optuna.distributions(
        {name: space.dimensions[name] for name in trial.params if name in space.dimensions}
    )
    state = _state(trial)
    return optuna.trial.create_trial(
        state=state,
        value=_value(trial, state),
        params={name: trial.params[name] for name in distributions},
        distributions=distributions,
        intermediate_values=trial.judging,
        user_attrs={"number": trial.number, "state": trial.state, "origin": trial.origin},
    )
