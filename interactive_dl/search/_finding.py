"""Searches that were started before: where their journals are, and whether their cluster lives."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from interactive_dl.errors import SearchNotFoundError
from interactive_dl.search import _launching, words, worker
from interactive_dl.telemetry import _address, journal

if TYPE_CHECKING:
    from interactive_dl.cluster import Cluster


class Found(NamedTuple):
    """A search's id, its folder of journals, and its cluster's folder; None where that is gone."""

    id: str
    runs: Path
    cluster: Path | None


def folder(cluster: Cluster | None, runs: str | Path | None) -> Path:
    """Where to look for journals."""
    if runs is not None:
        return Path(runs).absolute()
    return journal.runs_folder().absolute() if cluster is None else cluster.runs_folder


def searches(runs: Path) -> tuple[str, ...]:
    """Ids of all searches there, the newest last."""
    return _launching.searches(runs)


def find(name: str, cluster: Cluster | None, runs: str | Path | None) -> Found:
    """The latest search of this name or id.

    Raises:
        SearchNotFoundError: there is none.
    """
    where = folder(cluster, runs)
    known = searches(where)
    wanted = [one for one in known if name in (one, journal.origin(one).name)]
    if not wanted:
        raise SearchNotFoundError(
            f"Searches are found by name or id, but none is {name!r} in {where}. There are:"
            f" {', '.join(known[-10:]) or 'none'}. Other folders: attach(name, runs=...)."
        )
    lives = cluster_of(where, wanted[-1])
    return Found(wanted[-1], where, lives or (None if cluster is None else cluster.folder))


def cluster_of(runs: Path, search: str) -> Path | None:
    """The folder of the cluster that a search was started on last, if that lives."""
    cluster = _launching.cluster_of(runs, search)
    return cluster if cluster is not None and _address.path_in(cluster).exists() else None


def output(runs: Path, search: str, trial: int) -> list[str]:
    """What a trial has printed; nothing where that is not to be found here."""
    path = words.folder_of(runs, search) / f"trial-{trial}" / worker.OUTPUT
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
