"""One pytest session on all ranks in lock step: ``mpiexec -n 2 python -m pytest tests/parallel``.

Every rank runs the same tests in the same order. After each test the ranks tell one another how it
went, so that a test passes only where it passes on all ranks; rank 0 alone reports.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from mpi4py import MPI

from interactive_dl.engine import classic

WORLD = MPI.COMM_WORLD
classic.install()  # as engines do, before anything imports Horovod


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    if WORLD.rank != 0:
        config.get_terminal_writer()._file = open(os.devnull, "w")  # noqa: SIM115


def pytest_unconfigure() -> None:
    """Nobody leaves before rank 0 has reported: mpiexec ends all when one exits with an error."""
    WORLD.Barrier()


def pytest_report_header() -> str:
    return f"ranks: {WORLD.size}, Keras backend: {os.environ.get('KERAS_BACKEND', 'tensorflow')}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    problem: BaseException | None = None
    try:
        yield
    except BaseException as error:
        problem = error
        raise
    finally:
        own = None if problem is None else f"{type(problem).__name__}: {problem}"
        told = WORLD.allgather(own)
        if problem is None:
            _fail_with_others(told)


def _fail_with_others(told: list[str | None]) -> None:
    failed = [f"rank {rank}: {text}" for rank, text in enumerate(told) if text is not None]
    if failed:
        pytest.fail("failed on other ranks:\n" + "\n".join(failed), pytrace=False)


@pytest.fixture(autouse=True)
def _own_group() -> Iterator[None]:
    """Each test begins with all ranks in one healthy group, whatever the one before did."""
    import keras

    from interactive_dl import engine

    engine.init(seed=0, engines=range(WORLD.size))
    yield
    keras.backend.clear_session()


@pytest.fixture
def group() -> object:
    """The group of all ranks."""
    from interactive_dl import engine

    return engine.current()


@pytest.fixture
def shared_path(tmp_path: Path) -> Path:
    """One temporary folder for all ranks."""
    return Path(WORLD.bcast(str(tmp_path)))


@pytest.fixture(scope="session", autouse=True)
def _end_horovod_before_mpi() -> Iterator[None]:
    yield
    from interactive_dl.engine import _horovod

    WORLD.Barrier()
    _horovod.shutdown()
