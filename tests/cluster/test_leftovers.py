"""After stop() nothing is left: no process, no shared memory, no session or connection file."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from interactive_dl.cluster import Cluster, _processes
from interactive_dl.cluster._description import Description
from interactive_dl.cluster.controller._parts import Parts

_WATCHED = ("/dev/shm", tempfile.gettempdir())
_OURS = ("sm_segment*", "interactive_dl-*", "ompi.*", "prte.*", "pmix*")


@dataclass(frozen=True)
class Traces:
    files: frozenset[Path]
    ipython_files: frozenset[Path]


@pytest.fixture
def traces(own_ipython_folder: Path) -> Callable[[], Traces]:
    """What there is of MPI's and ipyparallel's files; other worlds of this machine excepted."""
    elsewhere = _mpi_files()

    def look() -> Traces:
        ours = own_ipython_folder.rglob("*")
        return Traces(
            files=frozenset(path for path in _mpi_files() - elsewhere if _is_ours(path)),
            ipython_files=frozenset(path for path in ours if path.is_file() and _tells(path)),
        )

    return look


@pytest.fixture
def doomed() -> Iterator[Cluster]:
    cluster = Cluster(2, cluster_id="doomed").start()
    yield cluster
    cluster.stop()


def _mpi_files() -> frozenset[Path]:
    return frozenset(
        path for folder in _WATCHED for name in _OURS for path in Path(folder).glob(name)
    )


def _is_ours(path: Path) -> bool:
    """Whether nobody else's living process made it: other worlds may start meanwhile."""
    return "doomed" in path.name or path in {Cluster(cluster_id="doomed")._places.volatile}


def _tells(path: Path) -> bool:
    return "doomed" in str(path)


def _controllers_supervisor(process: psutil.Process) -> bool:
    described = Description.read(Cluster(cluster_id="doomed")._places.description)
    return process.pid == described.controller_pid


def _hub(process: psutil.Process) -> bool:
    parts = Parts.read(Cluster(cluster_id="doomed")._places.folder)
    return parts is not None and process.pid == parts.hub


def _engine(process: psutil.Process) -> bool:
    return "interactive_dl.engine._process" in process.cmdline()


def _watcher(process: psutil.Process) -> bool:
    return process.cmdline()[1:3] == ["-m", "interactive_dl.engine"]


def _mpiexec(process: psutil.Process) -> bool:
    return process.name() in {"mpiexec", "prterun"}


def _nobody(process: psutil.Process) -> bool:
    return False


@pytest.mark.parametrize(
    "victim", [_nobody, _controllers_supervisor, _hub, _engine, _watcher, _mpiexec]
)
def test_nothing_is_left_after_stop_whoever_was_killed_before(
    doomed: Cluster,
    victim: Callable[[psutil.Process], bool],
    traces: Callable[[], Traces],
    until: Callable[..., None],
) -> None:
    places = doomed._places
    everything = _processes.marked(places.folder)
    assert sum(_engine(process) for process in everything) == 2
    assert places.volatile.exists()
    killed = [process for process in everything if victim(process)][:1]
    for process in killed:
        process.kill()
    until(lambda: not any(process in psutil.process_iter() for process in killed), "it is gone")

    doomed.stop()

    assert _processes.marked(places.folder) == ()
    assert not [process for process in everything if _processes._lives(process)]
    assert traces() == Traces(frozenset(), frozenset())


def test_mpi_keeps_its_files_in_the_clusters_own_folder(doomed: Cluster) -> None:
    names = {path.name for path in doomed._places.volatile.iterdir()}
    assert any(name.startswith("sm_segment") for name in names)
    assert any(name.startswith("ompi.") for name in names)
