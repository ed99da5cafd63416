"""Who proposes points, by name.

A sampler is made anew for each point, from the search's seed and the trial's number, and what it
needs to know of the past it finds in the study. So a point depends on nothing else than the
journal: a search that was killed and goes on proposes what it would have proposed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from optuna.samplers import BaseSampler, CmaEsSampler, GPSampler, RandomSampler, TPESampler

from interactive_dl.errors import SearchError, UnknownNameError
from interactive_dl.search._forest import ForestSampler
from interactive_dl.search._genetic import GeneticSampler
from interactive_dl.search._grid import GridSampler
from interactive_dl.search._names import check_options, look_up
from interactive_dl.search.space import Space


def make(name: str, space: Space, seed: int, options: Mapping[str, Any]) -> BaseSampler:
    """A sampler for one point.

    Args:
        name: see ``SAMPLERS``.
        space: what to search.
        seed: of this point, see ``seed_of``.
        options: keyword arguments of the sampler.

    Raises:
        UnknownNameError: there is no such sampler, or it has no such option.
        SearchError: options that make no sense.
    """
    build = look_up("sampler", name, SAMPLERS)
    check_options("sampler", name, build, options)
    try:
        return build(space, seed, **options)
    except ValueError as error:
        raise SearchError(f"The sampler {name!r} refuses {dict(options)}: {error}") from error


def seed_of(search_seed: int, trial: int) -> int:
    """The seed of a trial's point, from 0 to 2**32 - 1."""
    digest = hashlib.blake2b(f"{search_seed}/{trial}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big")


def _check_counts(least: int, **options: int | None) -> None:
    """See that these are whole numbers from ``least`` on, or None.

    Raises:
        ValueError: one is not.
    """
    for name, value in options.items():
        if value is not None and (not isinstance(value, int) or value < least):
            raise ValueError(f"`{name} >= {least}`, a whole number, must hold, but got {value!r}.")


def _check_shares(**options: float) -> None:
    """See that these are from 0 to 1.

    Raises:
        ValueError: one is not.
    """
    for name, value in options.items():
        if not 0 <= value <= 1:
            raise ValueError(f"`0 <= {name} <= 1` must hold, but got {value!r}.")


def _random(space: Space, seed: int) -> BaseSampler:
    return RandomSampler(seed=seed)


def _grid(space: Space, seed: int, *, levels: int = 5) -> BaseSampler:
    _check_counts(1, levels=levels)
    return GridSampler(space, levels)


def _tpe(
    space: Space,
    seed: int,
    *,
    startup: int = 10,
    candidates: int = 24,
    multivariate: bool | None = None,
) -> BaseSampler:
    _check_counts(0, startup=startup)
    _check_counts(1, candidates=candidates)
    return TPESampler(
        seed=seed,
        n_startup_trials=startup,
        n_ei_candidates=candidates,
        multivariate=multivariate,
        constant_liar=True,
    )


def _gp(space: Space, seed: int, *, startup: int = 10) -> BaseSampler:
    try:
        import torch  # noqa: F401
    except ImportError as error:
        raise UnknownNameError(
            "The sampler 'gp' computes with torch, which is not installed. Type: pip install torch"
            " (make setup TORCH=1), or choose 'forest', which needs nothing more."
        ) from error
    _check_counts(0, startup=startup)
    return GPSampler(seed=seed, n_startup_trials=startup)


def _cmaes(space: Space, seed: int, *, startup: int = 1, popsize: int | None = None) -> BaseSampler:
    _check_counts(0, startup=startup)
    _check_counts(2, popsize=popsize)
    return CmaEsSampler(
        seed=seed, n_startup_trials=startup, popsize=popsize, warn_independent_sampling=False
    )


def _forest(
    space: Space,
    seed: int,
    *,
    startup: int = 10,
    kappa: float = 1.96,
    candidates: int = 2000,
    trees: int = 50,
) -> BaseSampler:
    _check_counts(1, startup=startup, candidates=candidates, trees=trees)
    return ForestSampler(
        space, seed, startup=startup, kappa=kappa, candidates=candidates, trees=trees
    )


def _genetic(
    space: Space,
    seed: int,
    *,
    population: int = 8,
    demes: int = 4,
    mutation: float = 0.05,
    crossover: float = 0.33,
    migration: float = 0.05,
) -> BaseSampler:
    _check_counts(1, population=population, demes=demes)
    _check_shares(mutation=mutation, crossover=crossover, migration=migration)
    return GeneticSampler(
        space,
        seed,
        population=population,
        demes=demes,
        mutation=mutation,
        crossover=crossover,
        migration=migration,
    )


SAMPLERS = {
    "random": _random,
    "grid": _grid,
    "tpe": _tpe,
    "gp": _gp,
    "cmaes": _cmaes,
    "forest": _forest,
    "genetic": _genetic,
}
"""``forest`` is DeepHyper's asynchronous Bayesian search; ``genetic`` has demes, as Cray's."""
