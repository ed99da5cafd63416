"""Which MPI a version text speaks of."""

from __future__ import annotations

import re
from dataclasses import dataclass

# mpiexec and MPI_Get_library_version introduce the same MPI in different words.
_PATTERNS = (
    ("Open MPI", re.compile(r"(?:Open MPI\)?|OpenRTE\)?) v?(\d+(?:\.\d+)*)")),
    ("Intel MPI", re.compile(r"Intel\(R\) MPI Library.*?(\d{4}(?:\.\d+)*)", re.DOTALL)),
    ("MVAPICH", re.compile(r"MVAPICH2?\s+Version\s*:\s*(\d+(?:\.\d+)*)")),
    ("MPICH", re.compile(r"(?:MPICH|HYDRA build details:)\s+Version:\s*(\d+(?:\.\d+)*)")),
)


@dataclass(frozen=True)
class MPIName:
    """An implementation of MPI, such as ``Open MPI 5.0.11``."""

    vendor: str
    version: str

    def __str__(self) -> str:
        return f"{self.vendor} {self.version}"


def mpi_name(text: str) -> MPIName | None:
    """Read the output of ``mpiexec --version`` or ``MPI_Get_library_version``."""
    for vendor, pattern in _PATTERNS:
        if found := pattern.search(text):
            return MPIName(vendor, found[1])
    return None
