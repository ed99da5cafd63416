"""What ``idl doctor`` asks MPI and Horovod, each question in a process of its own.

    python -m interactive_dl.engine.probe mpi             which MPI mpi4py loads
    python -m interactive_dl.engine.probe horovod         what Horovod was built with
    mpiexec -n 2 python -m interactive_dl.engine.probe allreduce-mpi
    mpiexec -n 2 python -m interactive_dl.engine.probe allreduce-horovod

Each prints one line of JSON. A library that is absent or broken ends the process with its own
traceback: the doctor shows the last line of it.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from collections.abc import Callable
from typing import Any

from interactive_dl.errors import SetupError

FRAMEWORKS = ("tensorflow", "torch")
SIZES_BYTES = (8, 1 << 16, 1 << 22)
_REPEATS = {8: 200, 1 << 16: 50, 1 << 22: 10}


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
    }
    question = sys.argv[1] if len(sys.argv) == 2 else ""
    if question not in questions:
        sys.exit(f"The probe answers one of {', '.join(questions)}, but got {sys.argv[1:]}.")
    answer = questions[question]()
    if answer is not None:
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
