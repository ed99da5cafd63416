"""What ``idl doctor`` asks MPI and Horovod, each question in a process of its own.

    python -m interactive_dl.engine.probe mpi             which MPI mpi4py loads
    python -m interactive_dl.engine.probe horovod         what Horovod was built with
    mpiexec -n 2 python -m interactive_dl.engine.probe allreduce-mpi
    mpiexec -n 2 python -m interactive_dl.engine.probe allreduce-horovod
    mpiexec -n 4 python -m interactive_dl.engine.probe nodes          where ranks are, and links
    srun -n 4 python -m interactive_dl.engine.probe size              of the world of each rank

Each prints one line of JSON. A library that is absent or broken ends the process with its own
traceback: the doctor shows the last line of it.
"""

from __future__ import annotations

import importlib
import itertools
import json
import sys
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from interactive_dl.errors import SetupError

FRAMEWORKS = ("tensorflow", "torch")
SIZES_BYTES = (8, 1 << 16, 1 << 22)
_REPEATS = {8: 200, 1 << 16: 50, 1 << 22: 10}
_LINK_BYTES = 1 << 22
_ALL_PAIRS_OF = 8


def mpi() -> dict[str, Any]:
    """The MPI library that mpi4py loads: its own words, and the files mapped into memory."""
    from mpi4py import MPI

    return {"library": MPI.Get_library_version().strip("\0 \n"), "files": _mapped_mpi_files()}


def horovod() -> dict[str, Any]:
    """For each framework that Horovod loads with: what it was built with, and its MPI's files."""
    built: dict[str, Any] = {}
    missing: dict[str, str] = {}
    for framework in FRAMEWORKS:
        try:
            module = importlib.import_module(f"horovod.{framework}")
        except ImportError as error:
            missing[framework] = str(error)
        else:
            built[framework] = {
                "mpi": bool(module.mpi_built()),
                "gloo": bool(module.gloo_built()),
                "nccl": bool(module.nccl_built()),
            }
    version = importlib.import_module("horovod").__version__
    return {
        "version": version,
        "built": built,
        "missing": missing,
        "files": _mapped_mpi_files(),
    }


def allreduce_mpi() -> dict[str, Any] | None:
    """Sums over all ranks through MPI, checked and timed; None but on rank 0.

    Returns:
        ``size`` and, in ``sizes``, for each message size ``bytes``, ``seconds`` (median) and
        whether the sum was ``right``.
    """
    from mpi4py import MPI

    world = MPI.COMM_WORLD
    sizes = _times(_mpi_sum(world), world)
    return {"size": world.size, "sizes": sizes} if world.rank == 0 else None


def allreduce_horovod() -> dict[str, Any] | None:
    """The same through Horovod, with the ``framework`` that it was loaded for."""
    from mpi4py import MPI

    framework, module = _first_horovod()
    module.init()
    try:
        answer = {
            "framework": framework,
            "size": module.size(),
            "sizes": _times(_horovod_sum(framework, module), MPI.COMM_WORLD),
        }
    finally:
        module.shutdown()
    return answer if MPI.COMM_WORLD.rank == 0 else None


def size() -> dict[str, Any]:
    """The size of the world that this process is in."""
    from mpi4py import MPI

    return {"size": MPI.COMM_WORLD.size}


def nodes() -> dict[str, Any] | None:
    """As ``allreduce_mpi``, and which nodes the ranks are on, and how fast these reach each other.

    Returns:
        Besides, ``hosts``: ranks by node; ``links``: for each pair of neighbours (all pairs of up
        to 8 nodes) ``nodes``, ``latency_s`` (one way, 8 bytes) and ``bytes_per_s`` (4 MB).
    """
    from mpi4py import MPI

    world = MPI.COMM_WORLD
    host = MPI.Get_processor_name()
    hosts = dict(Counter(world.allgather(host)))
    sizes = _times(_mpi_sum(world), world)
    local = world.Split_type(MPI.COMM_TYPE_SHARED)
    leaders = world.Split(0 if local.rank == 0 else MPI.UNDEFINED)
    links = [] if leaders == MPI.COMM_NULL else _links(leaders, host)
    whole = {"size": world.size, "sizes": sizes, "hosts": hosts, "links": links}
    return whole if world.rank == 0 else None


def _links(leaders: Any, host: str) -> list[dict[str, Any]]:
    """Times of all pairs of leaders, or of neighbours where there are many; on rank 0."""
    count = leaders.size
    if count <= _ALL_PAIRS_OF:
        pairs = list(itertools.combinations(range(count), 2))
    else:
        pairs = [(one, (one + 1) % count) for one in range(count)]
    names = leaders.allgather(host)
    found = []
    for pair in pairs:
        leaders.Barrier()
        if leaders.rank in pair:
            small_s, large_s = (_one_way_s(leaders, pair, one) for one in (8, _LINK_BYTES))
            if leaders.rank == pair[0]:
                told = {"nodes": [names[one] for one in pair], "latency_s": small_s}
                found.append({**told, "bytes_per_s": _LINK_BYTES / large_s})
    return [one for told in leaders.allgather(found) for one in told]


def _one_way_s(leaders: Any, pair: tuple[int, int], size_bytes: int) -> float:
    """Half of a round trip between two ranks, the median of some."""
    import numpy as np

    first, second = pair
    values = np.zeros(size_bytes, dtype=np.uint8)
    seconds = []
    for _ in range(_REPEATS[size_bytes]):
        started_s = time.perf_counter()
        if leaders.rank == first:
            leaders.Send(values, second)
            leaders.Recv(values, second)
        else:
            leaders.Recv(values, first)
            leaders.Send(values, first)
        seconds.append((time.perf_counter() - started_s) / 2)
    return float(np.median(seconds))


def _first_horovod() -> tuple[str, Any]:
    problems = []
    for framework in FRAMEWORKS:
        try:
            return framework, importlib.import_module(f"horovod.{framework}")
        except ImportError as error:
            problems.append(f"{framework}: {error}")
    raise SetupError(
        f"Horovod must load with TensorFlow or torch, but: {'; '.join(problems)}. Type: make setup"
    )


def _mpi_sum(world: Any) -> Callable[[Any], Any]:
    import numpy as np

    def reduce(values: Any) -> Any:
        total = np.empty_like(values)
        world.Allreduce(values, total)
        return total

    return reduce


def _horovod_sum(framework: str, module: Any) -> Callable[[Any], Any]:
    library = importlib.import_module(framework)
    tensor = library.convert_to_tensor if framework == "tensorflow" else library.from_numpy

    def reduce(values: Any) -> Any:
        name = f"probe.{values.size}"
        return module.allreduce(tensor(values), op=module.Sum, name=name).numpy()

    return reduce


def _times(reduce: Callable[[Any], Any], world: Any) -> list[dict[str, Any]]:
    import numpy as np

    expected = world.size * (world.size + 1) / 2
    found = []
    for size_bytes in SIZES_BYTES:
        values = np.full(size_bytes // 4, world.rank + 1, dtype=np.float32)
        right = bool(np.all(reduce(values) == expected))
        seconds = []
        for _ in range(_REPEATS[size_bytes]):
            world.Barrier()
            started_s = time.perf_counter()
            reduce(values)
            seconds.append(time.perf_counter() - started_s)
        median_s = float(np.median(seconds))
        found.append({"bytes": size_bytes, "seconds": median_s, "right": right})
    return found


def _mapped_mpi_files() -> list[str]:
    with open("/proc/self/maps") as maps:
        paths = {line.split(maxsplit=5)[-1].strip() for line in maps if "/libmpi" in line}
    return sorted(paths)


def main() -> None:
    """Answer the question that the command line names."""
    questions: dict[str, Callable[[], dict[str, Any] | None]] = {
        "mpi": mpi,
        "horovod": horovod,
        "allreduce-mpi": allreduce_mpi,
        "allreduce-horovod": allreduce_horovod,
        "nodes": nodes,
        "size": size,
    }
    question = sys.argv[1] if len(sys.argv) == 2 else ""
    if question not in questions:
        sys.exit(f"The probe answers one of {', '.join(questions)}, but got {sys.argv[1:]}.")
    answer = questions[question]()
    if answer is not None:
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
