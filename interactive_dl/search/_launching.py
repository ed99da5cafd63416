"""From a described search to a process that runs it."""

from __future__ import annotations

import contextlib
import socket
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cloudpickle  # type: ignore[import-untyped]
import msgspec
import psutil

from interactive_dl.errors import (
    CommandRefusedError,
    EnginesBusyError,
    JournalError,
    SearchError,
)
from interactive_dl.search import events, pruners, samplers, words
from interactive_dl.search.driver import BEGAN, OBJECTIVE, OPENING, Opening
from interactive_dl.telemetry import exits, journal
from interactive_dl.telemetry.events import new_run_id
from interactive_dl.telemetry.run import Run

if TYPE_CHECKING:
    from interactive_dl.cluster import Cluster

_DRIVER = "driver.json"
_START_S = 60.0
_STOP_S = 60.0
_POLL_S = 0.02
_LARGEST_BYTES = 2**24


class _Process(msgspec.Struct):
    """Who runs a search; ``cluster`` is the folder of the cluster whose engines it uses."""

    host: str
    pid: int
    created_s: float
    cluster: str = ""


def new_id(name: str) -> str:
    """An id for a new search."""
    return new_run_id(name)


def pickled(objective: Callable[..., Any]) -> bytes:
    """An objective as engines get it.

    Raises:
        SearchError: it cannot be sent.
    """
    if not callable(objective):
        raise SearchError(f"An objective is a function, but got {objective!r}.")
    try:
        with _by_value(objective):
            data: bytes = cloudpickle.dumps(objective)
    except Exception as error:
        raise SearchError(
            f"An objective is sent to the engines with all that it refers to, but that of"
            f" {objective!r} cannot be: {error}. Open files, locks and models belong inside of it."
        ) from error
    if len(data) > _LARGEST_BYTES:
        raise SearchError(
            f"An objective and what it refers to have {_LARGEST_BYTES // 2**20} MB at most, as they"
            f" go out with every trial, but got {len(data) / 2**20:.0f} MB. Load the data inside:"
            " data.open(path)."
        )
    return data


@contextlib.contextmanager
def _by_value(objective: Callable[..., Any]) -> Iterator[None]:
    """Have a function of a person's own module sent whole: engines may not find that module, or
    may have loaded it before its last edit.
    """
    module = sys.modules.get(getattr(objective, "__module__", None) or "")
    file = getattr(module, "__file__", None)
    installed = [sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")]
    if module is None or file is None or any(Path(file).is_relative_to(one) for one in installed):
        yield
        return
    cloudpickle.register_pickle_by_value(module)
    try:
        yield
    finally:
        cloudpickle.unregister_pickle_by_value(module)


def check(began: events.SearchBegan) -> None:
    """Refuse what the driver would stumble over.

    Raises:
        UnknownNameError: no such sampler, pruner or option.
        SearchError: a direction that is none, or options that make no sense.
    """
    if began.direction not in ("minimize", "maximize"):
        raise SearchError(f"A direction is 'minimize' or 'maximize', but got {began.direction!r}.")
    samplers.make(began.sampler, began.space, 0, began.sampler_options)
    pruners.make(began.pruner, began.pruner_options)


def check_limits(limits: events.Limits, cluster: Cluster) -> None:
    """Refuse limits that would never let anything start.

    Raises:
        SearchError: they make no sense.
    """
    if not 1 <= limits.engines_per_trial <= cluster.size:
        raise SearchError(
            f"A trial gets 1 to {cluster.size} engines of this cluster, but got engines_per_trial="
            f"{limits.engines_per_trial}."
        )
    for name in ("trials", "concurrency", "time_budget_s", "memory_bytes", "crashes"):
        value = getattr(limits, name)
        if value is not None and value <= 0:
            raise SearchError(f"A limit is above 0, or None for none, but got {name}={value}.")


def clear(cluster: Cluster, search: str, *, stops_runs: bool) -> None:
    """See that nothing else runs on the engines.

    Args:
        cluster: whose engines.
        search: id of the search that wants them.
        stops_runs: whether to stop trainings, after a checkpoint where they have one.

    Raises:
        EnginesBusyError: something does, and is not to be stopped.
    """
    for other in searches(cluster.runs_folder):
        if other != search and _drives(cluster.runs_folder, other, cluster):
            raise EnginesBusyError(
                f"One search has the engines of a cluster, but {other} runs there. Stop it:"
                f" idl.Search.attach({other!r}).stop()"
            )
    for summary in cluster.runs.summaries():
        if summary.outcome is not None:
            continue
        run = cluster.runs[summary.run]
        if not _runs_here(run, cluster):
            continue
        if not stops_runs:
            raise EnginesBusyError(
                f"A training that runs is not cut, but {run.id} runs on engines"
                f" {sorted(_engines_of(run))}. Wait for it (run.wait()), or let the search stop it"
                " at a checkpoint first: start(..., stop_runs=True)."
            )
        _stop(run)


def _runs_here(run: Run, cluster: Cluster) -> bool:
    """Whether it trains on engines of this cluster, as far as its journal tells."""
    try:
        header = journal.header(journal.path_of(cluster.runs_folder, run.id))
    except JournalError:
        return False
    living = {one.id for one in cluster.engines if one.state != "dead"}
    is_ours = header.cluster == str(cluster.folder)
    return is_ours and bool(living & _engines_of(run)) and run.history.ended is None


def _engines_of(run: Run) -> set[int]:
    history = run.history
    if history.groups:
        return set(history.groups[-1].engines)
    return set(history.started.engines) if history.started else set()


def _stop(run: Run) -> None:
    with contextlib.suppress(CommandRefusedError):  # it may have no file for one
        run.checkpoint()
    run.stop()
    run.wait(_STOP_S)


def searches(runs: Path) -> tuple[str, ...]:
    """Ids of the searches that have a journal in a folder, the newest last."""
    suffix = words.journal_of("")
    found = (run for run in journal.programs(runs) if run.endswith(suffix))
    return tuple(run.removesuffix(suffix) for run in found)


def write(runs: Path, search: str, began: events.SearchBegan, objective: bytes) -> None:
    """Put down what the driver begins with."""
    folder = words.folder_of(runs, search)
    folder.mkdir(parents=True)
    (folder / BEGAN).write_bytes(msgspec.json.encode(began))
    (folder / OBJECTIVE).write_bytes(objective)


def note_opening(runs: Path, search: str, opening: Opening) -> None:
    """Put down what a search is to be gone on with; ``await_driver`` waits until that is done."""
    (words.folder_of(runs, search) / OPENING).write_bytes(msgspec.json.encode(opening))


def launch(cluster: Cluster, search: str) -> None:
    """Start the driver, beside the cluster's recorder."""
    arguments = ["--cluster", cluster.id, "--search", search, "--runs", str(cluster.runs_folder)]
    program = ["-m", "interactive_dl.search.driver", *arguments]
    started = cluster.start_beside(program, log_of(search))
    process = _Process(started.host, started.pid, started.created_s, str(cluster.folder))
    folder = words.folder_of(cluster.runs_folder, search)
    (folder / _DRIVER).write_bytes(msgspec.json.encode(process))


def log_of(search: str) -> str:
    """File name of its driver's log, in the cluster's folder."""
    return f"search-{search}.log"


def await_driver(cluster: Cluster, runs: Path, search: str) -> None:
    """Wait until the driver has begun, and has done what the search is to be gone on with.

    Raises:
        SearchError: it ended, or took too long.
    """
    path = journal.path_of(runs, words.journal_of(search))
    deadline_s = time.monotonic() + _START_S
    note = words.folder_of(runs, search) / OPENING
    while note.exists() or not _has_begun(path):
        if _is_gone(_process(runs, search)) or time.monotonic() > deadline_s:
            lines = exits.last_lines(cluster.folder / log_of(search), 20)
            shown = "\n".join(f"    {line}" for line in lines)
            raise SearchError(
                f"The process that runs a search begins within {_START_S:g} s, but that of"
                f" {search} did not. The end of its log:\n{shown}"
            )
        time.sleep(_POLL_S)


def await_end(runs: Path, search: str) -> None:
    """Wait until the process of a search that has ended has let go of its journal."""
    deadline_s = time.monotonic() + _STOP_S
    while is_driven(runs, search) and time.monotonic() < deadline_s:
        time.sleep(_POLL_S)


def cluster_of(runs: Path, search: str) -> Path | None:
    """The folder of the cluster that a search was started on last, whether that lives or not."""
    process = _process(runs, search)
    return Path(process.cluster) if process is not None and process.cluster else None


def _has_begun(path: Path) -> bool:
    """Whether there is a record, after the first line."""
    try:
        return len(journal.tail(path)) > 1
    except JournalError:
        return False  # it is not there yet


def is_driven(runs: Path, search: str) -> bool:
    """Whether a process runs the search; of one on another host its journal tells."""
    process = _process(runs, search)
    if process is None or _is_gone(process):
        return False
    return process.host == socket.gethostname() or not _has_left(runs, search)


def _is_gone(process: _Process | None) -> bool:
    """Whether it has ended, as far as this host can tell."""
    if process is None:
        return True
    if process.host != socket.gethostname():
        return False
    try:
        found = psutil.Process(process.pid)
    except psutil.NoSuchProcess:
        return True
    return found.create_time() != process.created_s or found.status() == psutil.STATUS_ZOMBIE


def _has_left(runs: Path, search: str) -> bool:
    """Whether the process of a search has said that it ends, or is silent, says the recorder."""
    try:
        return journal.outcome(journal.path_of(runs, words.journal_of(search))) is not None
    except JournalError:
        return False  # it is not there yet


def _drives(runs: Path, search: str, cluster: Cluster) -> bool:
    """Whether a search runs, on this cluster."""
    process = _process(runs, search)
    if process is None or process.cluster != str(cluster.folder):
        return False
    # Where it has said how it ends, its process is about to.
    return is_driven(runs, search) and not _has_left(runs, search)


def _process(runs: Path, search: str) -> _Process | None:
    try:
        data = (words.folder_of(runs, search) / _DRIVER).read_bytes()
        return msgspec.json.decode(data, type=_Process)
    except (OSError, msgspec.MsgspecError):
        return None
