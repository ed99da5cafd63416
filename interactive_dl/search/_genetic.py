"""Genetic search with demes, as Cray's, but without generations that wait for their slowest.

Each deme is a population of its own: the best of its trials so far. A child comes from two parents
of its deme (now and then one of the next deme, which is how good genes spread), takes each gene
from one of them, and mutates. Optuna's genetic samplers know one population that waits.
"""

from __future__ import annotations

import heapq
from typing import Any

import numpy as np
import optuna
from optuna.trial import FrozenTrial

from interactive_dl.search._whole_points import TOLD, WholePointSampler, all_trials, losses, note
from interactive_dl.search.ranges import AnyDimension, Choice, Value
from interactive_dl.search.space import Space

_DEME = "genetic:deme"
_GENERATION = "genetic:generation"
_SPREAD = 0.1
"""Standard deviation of a mutation, as a share of the range."""


class GeneticSampler(WholePointSampler):
    """Children of the best, in demes."""

    def __init__(
        self,
        space: Space,
        seed: int,
        *,
        population: int,
        demes: int,
        mutation: float,
        crossover: float,
        migration: float,
    ) -> None:
        super().__init__(space)
        self._random = np.random.default_rng(seed)
        self._population, self._demes = population, demes
        self._mutation, self._crossover, self._migration = mutation, crossover, migration

    def propose(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, Any]:
        deme = trial.number % self._demes
        note(study, trial, _DEME, deme)
        told = all_trials(study, TOLD)
        residents = self._best(study, told, deme)
        if not residents:
            note(study, trial, _GENERATION, 0)
            return self._draw()
        migrates = self._random.random() < self._migration
        abroad = self._best(study, told, (deme + 1) % self._demes) if migrates else []
        mother, father = self._winner(residents), self._winner(abroad or residents)
        older = max(self._generation(mother), self._generation(father))
        note(study, trial, _GENERATION, older + 1)
        return self._child(mother.params, father.params)

    def _draw(self) -> dict[str, Value]:
        return self.space.sample(iter(self._random.random, 1.0))

    def _best(self, study: optuna.Study, told: list[FrozenTrial], deme: int) -> list[FrozenTrial]:
        """The deme's population, the best first; empty until there are enough."""
        of_deme = [
            (value, other.number, other)
            for other, value in zip(told, losses(study, told), strict=True)
            if value is not None
            and other.system_attrs.get(_DEME, other.number % self._demes) == deme
        ]
        if len(of_deme) < self._population:
            return []
        return [other for *_, other in heapq.nsmallest(self._population, of_deme)]

    def _winner(self, population: list[FrozenTrial]) -> FrozenTrial:
        """Of a tournament of two."""
        places = self._random.integers(len(population), size=2)
        return population[int(places.min())]

    def _generation(self, trial: FrozenTrial) -> int:
        return int(trial.system_attrs.get(_GENERATION, 0))

    def _child(self, mother: dict[str, Any], father: dict[str, Any]) -> dict[str, Value]:
        fresh, child = self._draw(), dict[str, Value]()
        for name, dimension in self.space.dimensions.items():
            if not self.space.is_active(name, child):
                continue
            parent = father if self._random.random() < self._crossover else mother
            gene = parent.get(name, mother.get(name, father.get(name)))
            if gene is None or not dimension.contains(gene):
                gene = fresh.get(name, dimension.at(self._random.random()))
            is_hit = self._random.random() < self._mutation
            child[name] = self._mutated(dimension, gene) if is_hit else gene
        return child

    def _mutated(self, dimension: AnyDimension, gene: Value) -> Value:
        if isinstance(dimension, Choice):
            return dimension.at(self._random.random())
        place = dimension.place(gene) + self._random.normal(0, _SPREAD)
        return dimension.at(min(1.0, max(0.0, place)))
