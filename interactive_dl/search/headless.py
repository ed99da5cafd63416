"""A search without a notebook: described by a script, watched as lines of text."""

from __future__ import annotations

import os
import queue
import runpy
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interactive_dl.errors import ActionRefusedError, JournalError, SearchError
from interactive_dl.search import _launching, events, tables, words
from interactive_dl.search.book import Book
from interactive_dl.search.search import Search
from interactive_dl.telemetry import journal
from interactive_dl.telemetry.events import Ended

if TYPE_CHECKING:
    from interactive_dl.cluster import Cluster

_LOOK_S = 1.0
_EXAMPLE = 'search = idl.Search(objective, {"lr": idl.log_uniform(1e-5, 1e-1)})'

Say = Callable[[str], None]


@dataclass(frozen=True)
class Wanted:
    """What to search, where, and how much.

    Attributes:
        script: a Python file that describes the search; None to go on with ``resume``.
        resume: name or id of a search that has lost its cluster.
        name: of the search, over the script's.
        engines: of a cluster of its own.
        cluster: id of one that runs, instead.
        trials, concurrency, engines_per_trial, time_budget_s: see ``Search.start``.
    """

    script: Path | None = None
    resume: str | None = None
    name: str | None = None
    engines: int = 4
    cluster: str | None = None
    trials: int | None = None
    concurrency: int | None = None
    engines_per_trial: int = 1
    time_budget_s: float | None = None


def run(wanted: Wanted, say: Say) -> int:
    """Search until the end, telling of every trial that ends.

    An interrupt stops the search in order; a second one does not wait for that.

    Args:
        wanted: what.
        say: takes a line.

    Returns:
        The exit code: 0 where the search has come to its end, and a trial has finished.

    Raises:
        SearchError: no search to be had, or it cannot go on.
    """
    search = _search_of(wanted)
    known = {trial.number for trial in search.book.trials if trial.is_over}
    with _terminated_as_interrupted():
        try:
            with _engines(wanted, search) as cluster:
                _begin(search, wanted, cluster)
                say(f"{search.id} on {cluster.size} engines of {cluster.id}")
                say(f"in a notebook: idl.Search.attach({search.name!r})")
                _watch(search, known, say)
                say(f"\n{tables.table(search.book)}")
                return 0 if search.state == "finished" and search.book.best is not None else 1
        except KeyboardInterrupt:
            say(_farewell(search, wanted))
            return 1
        finally:
            search.close()


def load(script: Path) -> Search:
    """The search that a script describes.

    Raises:
        SearchError: it describes none, or several, or has started it.
    """
    if not script.is_file():
        raise SearchError(f"A search is described by a Python file, but there is no {script}.")
    sys.path.insert(0, str(script.parent.absolute()))  # as python does
    try:
        made = runpy.run_path(str(script), run_name="__main__")
    finally:
        sys.path.pop(0)
    found = {name: value for name, value in made.items() if isinstance(value, Search)}
    if len({id(one) for one in found.values()}) != 1:
        raise SearchError(
            f"A script describes one search at its module level, but {script} has"
            f" {', '.join(found) or 'none'}. Write there: {_EXAMPLE}"
        )
    search = next(iter(found.values()))
    if search.state != "not started":
        raise SearchError(
            f"A script describes a search, and `idl search` starts it, but {script} has started"
            f" {search.id} by itself. Leave out search.start(...), or run: python {script}"
        )
    return search


def listing(runs: Path) -> str:
    """The searches that have a journal in a folder, one a line."""
    lines = [f"  {one}  {_standing(runs, one)}" for one in Search.known(runs)]
    return "\n".join([f"Searches in {runs}:", *(lines or ["  none"])])


def _standing(runs: Path, search: str) -> str:
    path = journal.path_of(runs, words.journal_of(search))
    try:
        book = Book.of(events.records(path))
    except (SearchError, JournalError) as problem:
        return f"unreadable: {problem}"
    if book.ended is not None:
        state: str = book.ended.outcome
    else:
        state = "running" if _launching.is_driven(runs, search) else "abandoned"
    return f"{state}  {tables.standing(book)}"


# -- beginning ------------------------------------------------------------------------------------


def _search_of(wanted: Wanted) -> Search:
    if wanted.resume is None:
        if wanted.script is None:
            raise SearchError(
                "A search is described by a script, or resumed. Type: idl search script.py, or"
                " idl search --resume NAME"
            )
        search = load(wanted.script)
        return search if wanted.name is None else search.renamed(wanted.name)
    search = Search.attach(wanted.resume)
    if search.state != "abandoned":
        raise SearchError(
            f"A search is resumed when nobody runs it, but {search.id} is {search.state}. Type:"
            " idl searches"
        )
    return search


@contextmanager
def _engines(wanted: Wanted, search: Search) -> Iterator[Cluster]:
    """A cluster that runs and is left alone, or one for this search only."""
    from interactive_dl.cluster import Cluster

    if wanted.cluster is not None:
        cluster = Cluster.attach(wanted.cluster)
        try:
            yield cluster
        finally:
            cluster.close()
        return
    runs = None if wanted.resume is None else search.runs_folder
    with Cluster(wanted.engines, runs=runs, environment=_importing(wanted.script)) as cluster:
        yield cluster


def _importing(script: Path | None) -> dict[str, str]:
    """Engines find modules beside the script, as the script does."""
    if script is None:
        return {}
    paths = [str(script.parent.absolute()), os.environ.get("PYTHONPATH", "")]
    return {"PYTHONPATH": os.pathsep.join(filter(None, paths))}


def _begin(search: Search, wanted: Wanted, cluster: Cluster) -> None:
    if wanted.resume is None:
        search.start(
            cluster,
            trials=wanted.trials,
            concurrency=wanted.concurrency,
            engines_per_trial=wanted.engines_per_trial,
            time_budget_s=wanted.time_budget_s,
        )
        return
    search.resume(
        cluster,
        trials=wanted.trials,
        concurrency=wanted.concurrency,
        time_budget_s=wanted.time_budget_s,
    )


# -- watching -------------------------------------------------------------------------------------


def _watch(search: Search, known: set[int], say: Say) -> None:
    """Tell of trials until the search has ended."""
    lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()

    def hear(search: Search, records: list[events.Record]) -> None:
        for record in records:
            if isinstance(record.event, events.TrialEnded) and record.event.trial not in known:
                lines.put(tables.line(search.book, record.event.trial))
            elif isinstance(record.event, Ended):
                lines.put(None)

    unsubscribe = search.subscribe(hear)
    try:
        _tell(search, lines, say)
    except KeyboardInterrupt:
        say("Stopping the search in order; another interrupt does not wait for that.")
        with suppress(ActionRefusedError):  # it has ended meanwhile
            search.stop(wait=False)
        _tell(search, lines, say)
    finally:
        unsubscribe()


def _tell(search: Search, lines: queue.SimpleQueue[str | None], say: Say) -> None:
    while True:
        try:
            told = lines.get(timeout=_LOOK_S)
        except queue.Empty:
            if search.state == "running":
                continue
            break
        if told is not None:
            say(told)
        elif search.book.ended is not None:  # else it was opened again
            break
    if search.state == "abandoned":
        raise SearchError(
            f"Nobody runs {search.id} any more. Type: idl search --resume {search.id}"
        )


def _farewell(search: Search, wanted: Wanted) -> str:
    if search.state == "running":
        return f"{search.id} goes on on {wanted.cluster} until its trials have stopped."
    if search.state == "abandoned":
        return f"{search.id} was cut. To go on with it: idl search --resume {search.id}"
    return "Interrupted."


@contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """A batch system's SIGTERM is an interrupt, so that the cluster is stopped."""

    def interrupt(number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
