from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from interactive_dl.cluster import _doctor_checks as checks
from interactive_dl.cluster._doctor_checks import Check
from interactive_dl.cluster._doctor_probes import Answer, ConnectionFile, Machine, Mpiexec

LIBMPI = "/env/lib/libmpi.so.40"
MPI4PY = Answer({"library": "Open MPI v5.0.11, package", "files": [LIBMPI]})
MPIEXEC = Mpiexec("/env/bin/mpiexec", "mpiexec (Open MPI) 5.0.11")
MPICH = Mpiexec("/usr/bin/mpiexec", "HYDRA build details:\n    Version:    5.0.2")
PACKAGES = {"tensorflow-cpu": "2.21.0", "keras": "3.15.1", "horovod": "0.28.1"}
BUILT = {"mpi": True, "gloo": True, "nccl": False}
BROKEN = Answer(None, "exit code 1: ImportError: libmpi.so.40: cannot open")
MACHINE = Machine(
    cores=2,
    memory_bytes=2**34,
    memory_free_bytes=2**33,
    shm_bytes=2**30,
    shm_free_bytes=2**30,
)


def horovod(**changes: Any) -> Answer:
    facts = {"version": "0.28.1", "built": {"tensorflow": BUILT}, "files": [LIBMPI]}
    return Answer({**facts, "missing": {"torch": "not built"}, **changes})


def sums(size: int = 2, right: bool = True) -> Answer:
    return Answer({"size": size, "sizes": [{"bytes": 1 << 20, "seconds": 1e-3, "right": right}]})


def failed(found: Iterable[Check]) -> dict[str, Check]:
    return {check.name: check for check in found if not check.ok}


def explains(check: Check, cause: str, fix: str) -> bool:
    return not check.ok and cause in check.cause and fix in check.fix


def test_a_sound_environment_has_no_failed_check() -> None:
    assert checks.python((3, 11, 2)).ok
    assert not failed(checks.frameworks(PACKAGES))
    assert checks.horovod_build(horovod(), PACKAGES, gpus=()).ok
    assert not failed(checks.mpi(MPI4PY, horovod(), MPIEXEC))
    assert checks.allreduce("MPI", sums(), ranks=2).ok
    assert not failed(checks.machine(MACHINE))


def test_another_python_fails() -> None:
    assert explains(checks.python((3, 12, 1)), "not 3.12.1", "PYTHON=python3.11")


def test_tensorflow_and_keras_must_be_there_but_torch_may() -> None:
    assert set(failed(checks.frameworks({}))) == {"TensorFlow", "Keras"}
    torch = checks.frameworks(PACKAGES)[2]
    assert torch.ok
    assert "not installed" in torch.value


def test_horovod_that_is_not_installed_is_a_failed_line() -> None:
    check = checks.horovod_build(BROKEN, {}, gpus=())
    assert check.value == "not installed"
    assert explains(check, "has not built it", "make setup")


def test_horovod_that_does_not_load_shows_its_own_error() -> None:
    check = checks.horovod_build(BROKEN, PACKAGES, gpus=())
    assert explains(check, "libmpi.so.40: cannot open", "make setup")


def test_horovod_without_torch_fails_only_where_torch_is_installed() -> None:
    with_torch = {**PACKAGES, "torch": "2.13.0"}
    assert checks.horovod_build(horovod(), PACKAGES, gpus=()).ok
    check = checks.horovod_build(horovod(), with_torch, gpus=())
    assert explains(check, "torch is installed", "TORCH=1")


def test_horovod_without_tensorflow_fails() -> None:
    answer = horovod(built={"torch": BUILT}, missing={"tensorflow": "not built"})
    check = checks.horovod_build(answer, PACKAGES, gpus=())
    assert explains(check, "not built for TensorFlow: not built", "make setup")


def test_horovod_without_mpi_fails() -> None:
    answer = horovod(built={"tensorflow": {**BUILT, "mpi": False}})
    check = checks.horovod_build(answer, PACKAGES, gpus=())
    assert explains(check, "without MPI", "make setup")


def test_gpus_want_nccl() -> None:
    check = checks.horovod_build(horovod(), PACKAGES, gpus=["GPU 0: H200"])
    assert explains(check, "without NCCL", "GPU=1")
    assert checks.gpus(()).value == "none found"


def test_an_mpiexec_of_another_mpi_is_the_size_1_trap() -> None:
    check = failed(checks.mpi(MPI4PY, horovod(), MPICH))["one MPI"]
    assert check.value == "Open MPI 5.0.11 and MPICH 5.0.2"
    assert explains(check, "world of size 1", "first in PATH")
    assert MPICH.path is not None
    assert MPICH.path in check.cause


def test_an_mpiexec_of_another_version_is_told_too() -> None:
    older = replace(MPIEXEC, version="mpiexec (OpenRTE) 4.1.4")
    assert set(failed(checks.mpi(MPI4PY, horovod(), older))) == {"one MPI"}


def test_horovod_on_another_libmpi_is_the_size_1_trap() -> None:
    other = horovod(files=["/usr/lib/libmpich.so.12"])
    check = failed(checks.mpi(MPI4PY, other, MPIEXEC))["one MPI"]
    assert explains(check, "Horovod loads /usr/lib/libmpich.so.12", "make setup")


def test_a_missing_mpiexec_is_named() -> None:
    found = failed(checks.mpi(MPI4PY, horovod(), Mpiexec(None)))
    assert explains(found["MPI of mpiexec"], "no mpiexec in PATH", "make setup")


def test_an_mpi4py_without_mpi_is_a_failed_line() -> None:
    found = failed(checks.mpi(BROKEN, horovod(), MPIEXEC))
    assert explains(found["MPI of mpi4py"], "cannot open", "make setup")


def test_a_world_of_size_1_is_explained() -> None:
    check = checks.allreduce("MPI", sums(size=1), ranks=2)
    assert explains(check, "alone in a world of size 1", "one MPI")


def test_a_wrong_sum_fails_whatever_its_speed() -> None:
    assert explains(checks.allreduce("MPI", sums(right=False), 2), "wrong at 1048576", "rebuild")


def test_an_allreduce_that_gives_no_answer_says_why() -> None:
    assert explains(checks.allreduce("Horovod", BROKEN, 2), "exit code 1", "make setup")


def test_latency_and_bandwidth_are_shown() -> None:
    assert checks.allreduce("MPI", sums(), 2).value == "2 ranks: 1 MB 1.0 ms (1.05e+03 MB/s)"


def test_the_64_mb_of_a_container_are_too_little_shared_memory() -> None:
    small = replace(MACHINE, shm_bytes=64 * 2**20, shm_free_bytes=64 * 2**20)
    check = failed(checks.machine(small))["/dev/shm"]
    assert explains(check, "less than 128 MB", "--shm-size=1g")


def test_missing_shared_memory_is_told() -> None:
    none = replace(MACHINE, shm_bytes=None, shm_free_bytes=None)
    assert "/dev/shm" in failed(checks.machine(none))


@pytest.mark.parametrize("interface", ["tcp://0.0.0.0", "tcp://*"])
def test_a_controller_that_listens_everywhere_is_flagged(interface: str) -> None:
    (check,) = checks.connections([connection_file(interface=interface)])
    assert explains(check, "every network", "127.0.0.1")


@pytest.mark.parametrize("mode", [0o644, 0o660])
def test_a_key_that_others_can_read_is_flagged(mode: int) -> None:
    (check,) = checks.connections([connection_file(mode=mode)])
    assert explains(check, "others can read", "chmod 600 /security/ipcontroller-a-client.json")


def test_a_private_controller_is_fine() -> None:
    (check,) = checks.connections([connection_file()])
    assert check == Check("a-client", True, "tcp://127.0.0.1, mode 0600")


def test_no_cluster_is_fine() -> None:
    assert not failed(checks.connections([]))


def connection_file(interface: str = "tcp://127.0.0.1", mode: int = 0o600) -> ConnectionFile:
    return ConnectionFile(Path("/security/ipcontroller-a-client.json"), mode, interface)
