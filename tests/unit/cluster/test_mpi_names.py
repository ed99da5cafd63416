from __future__ import annotations

import pytest

from interactive_dl.cluster._mpi_names import MPIName, mpi_name


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("mpiexec (Open MPI) 5.0.11\n\nReport bugs to ...", "Open MPI 5.0.11"),
        ("mpirun (OpenRTE) 4.1.4", "Open MPI 4.1.4"),
        ("Open MPI v5.0.11, package: Open MPI user@host, ident: 5.0.11", "Open MPI 5.0.11"),
        ("HYDRA build details:\n    Version:                                 5.0.2", "MPICH 5.0.2"),
        ("MPICH Version:      5.0.2\nMPICH Release date: ...", "MPICH 5.0.2"),
        ("Intel(R) MPI Library for Linux* OS, Version 2021.9 Build 2023", "Intel MPI 2021.9"),
        ("MVAPICH2 Version      :\t2.3.7", "MVAPICH 2.3.7"),
    ],
)
def test_mpiexec_and_library_are_read_to_the_same_name(text: str, name: str) -> None:
    assert str(mpi_name(text)) == name


def test_an_unknown_text_has_no_name() -> None:
    assert mpi_name("slurm 23.02") is None


def test_names_compare_by_vendor_and_version() -> None:
    assert mpi_name("mpiexec (Open MPI) 5.0.11") == MPIName("Open MPI", "5.0.11")
    assert mpi_name("mpiexec (Open MPI) 5.0.1") != MPIName("Open MPI", "5.0.11")
