"""Environment and command line of a world, as text."""

from __future__ import annotations

import pytest

from interactive_dl.cluster.environment import (
    binds_to_cores,
    mpi_environment,
    mpiexec_arguments,
    threads_per_rank,
)


@pytest.mark.parametrize(
    ("ranks", "cores", "threads"), [(1, 8, 8), (2, 8, 4), (3, 8, 2), (4, 2, 1), (64, 8, 1)]
)
def test_cores_are_divided_among_ranks_and_each_has_one_thread_at_least(
    ranks: int, cores: int, threads: int
) -> None:
    assert threads_per_rank(ranks, cores) == threads
    environment = mpi_environment(ranks, cores=cores)
    assert environment["OMP_NUM_THREADS"] == str(threads)
    assert environment["TF_NUM_INTRAOP_THREADS"] == str(threads)


def test_threads_that_were_asked_for_win() -> None:
    assert mpi_environment(4, threads=3, cores=2)["OMP_NUM_THREADS"] == "3"


@pytest.mark.parametrize(("ranks", "cores", "yields"), [(1, 2, False), (2, 2, True), (4, 8, False)])
def test_waiting_ranks_yield_where_compute_and_communication_threads_share_cores(
    ranks: int, cores: int, yields: bool
) -> None:
    assert ("OMPI_MCA_mpi_yield_when_idle" in mpi_environment(ranks, cores=cores)) is yields


def test_root_may_run_and_engines_may_share_cores() -> None:
    environment = mpi_environment(4, cores=2)
    assert environment["OMPI_ALLOW_RUN_AS_ROOT"] == "1"
    assert environment["OMPI_ALLOW_RUN_AS_ROOT_CONFIRM"] == "1"
    assert environment["PRTE_MCA_rmaps_default_mapping_policy"] == ":oversubscribe"


def test_memory_freed_in_a_step_stays_with_the_process_for_the_next() -> None:
    assert int(mpi_environment(1)["MALLOC_TOP_PAD_"]) >= 64 * 2**20


@pytest.mark.parametrize(
    ("binding", "ranks", "shared", "expected"),
    [
        ("auto", 2, False, True),
        ("auto", 3, False, False),
        ("auto", 2, True, False),
        ("core", 3, True, True),
        ("none", 1, False, False),
    ],
)
def test_ranks_are_pinned_where_the_cores_suffice_and_nobody_else_pins(
    binding: str, ranks: int, shared: bool, expected: bool
) -> None:
    assert binds_to_cores(binding, ranks, 1, 2, host_is_shared=shared) is expected  # type: ignore[arg-type]


def test_an_unknown_binding_is_answered_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="auto, core, none.*'socket'"):
        binds_to_cores("socket", 1, 1, 2, host_is_shared=False)  # type: ignore[arg-type]


def test_a_world_survives_its_dead() -> None:
    assert mpiexec_arguments(3) == (
        "mpiexec", "-n", "3", "--with-ft", "ulfm", "--bind-to", "none",
    )  # fmt: skip


def test_pinned_ranks_get_as_many_cores_as_threads() -> None:
    words = mpiexec_arguments(2, bind=True, threads=4)
    assert words[words.index("--map-by") + 1] == "slot:PE=4:oversubscribe"
    assert words[words.index("--bind-to") + 1] == "core:overload-allowed"
