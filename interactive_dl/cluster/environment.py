"""What a world of MPI engines needs in its environment and on mpiexec's command line.

Pure: numbers in, text out. The test suite starts plain ``mpiexec`` scripts with the same settings.
"""

from __future__ import annotations

import os
import sys
from typing import Literal

Binding = Literal["auto", "core", "none"]
BINDINGS: tuple[Binding, ...] = ("auto", "core", "none")

_THREAD_COUNTS = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
)

# Batches and activations come and go every step. With its usual padding (128 KiB) glibc hands the
# memory back to the kernel each time, and gets it back page by page: 550 page faults in a step of
# the RPV network with a batch of 128, about 3 % of its time. With this there is none.
ALLOCATOR = {"MALLOC_TOP_PAD_": str(128 * 2**20)}


def available_cores() -> int:
    """Cores that this process may use (its affinity mask, not the machine's size)."""
    return len(os.sched_getaffinity(0))


def threads_per_rank(ranks: int, cores: int | None = None) -> int:
    """Compute threads for each of ``ranks`` processes that share ``cores``: at least one."""
    return max(1, (cores or available_cores()) // ranks)


def mpi_environment(
    ranks: int, threads: int | None = None, cores: int | None = None
) -> dict[str, str]:
    """Variables for ``ranks`` MPI processes on this host, to lay over the user's own.

    Args:
        ranks: processes in the world.
        threads: compute threads of each; by default the cores divided among the ranks.
        cores: cores of the host; by default those that this process may use.
    """
    cores = cores or available_cores()
    threads = threads or threads_per_rank(ranks, cores)
    environment = {
        "OMPI_ALLOW_RUN_AS_ROOT": "1",
        "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
        "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
        "TF_CPP_MIN_LOG_LEVEL": "2",
        "PATH": os.pathsep.join([os.path.join(sys.prefix, "bin"), os.environ.get("PATH", "")]),
        **dict.fromkeys(_THREAD_COUNTS, str(threads)),
        **ALLOCATOR,
    }
    # A rank is two busy threads: its computation and Horovod's communication. An MPI that spins
    # while it waits would take the core away from one of them.
    if 2 * ranks > cores:
        environment["OMPI_MCA_mpi_yield_when_idle"] = "1"
    return environment


def binds_to_cores(
    binding: Binding, ranks: int, threads: int, cores: int, *, host_is_shared: bool
) -> bool:
    """Whether each rank is pinned to cores of its own.

    ``auto`` pins when all ranks' threads fit, and not when another world of ours runs on this
    host: each mpiexec counts from core 0, so two worlds would pin onto the same cores.
    """
    if binding not in BINDINGS:
        raise ValueError(f"binding must be one of {', '.join(BINDINGS)}, but got {binding!r}.")
    if binding == "auto":
        return ranks * threads <= cores and not host_is_shared
    return binding == "core"


def mpiexec_arguments(
    ranks: int, *, bind: bool = False, threads: int = 1, fault_tolerant: bool = True
) -> tuple[str, ...]:
    """The command line that starts a world, up to the program's own words.

    Args:
        ranks: processes in the world.
        bind: pin each rank to ``threads`` cores of its own.
        threads: compute threads of each rank.
        fault_tolerant: a rank that dies costs itself, not the world (ULFM).
    """
    arguments: list[str] = ["mpiexec", "-n", str(ranks)]
    if fault_tolerant:
        arguments += ["--with-ft", "ulfm"]
    if bind:
        arguments += [
            "--map-by",
            f"slot:PE={threads}:oversubscribe",
            "--bind-to",
            "core:overload-allowed",
        ]
    else:
        arguments += ["--bind-to", "none"]
    return tuple(arguments)
