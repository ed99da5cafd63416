"""What starts the engines of a job, by name: command lines, and what becomes of ranks under each.

Pure: numbers in, words out. One environment holds one MPI, and each launcher makes one world of
the ranks of some of them only; under another's, every rank is alone in a world of size 1.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from interactive_dl.cluster.environment import mpiexec_arguments
from interactive_dl.errors import RequestError

# As Slurm 22.05 prints it: "... Error handler invoked: status = -61, source = [slurm.pmix.7.2:1]".
_SOURCE = re.compile(r"Error handler invoked: .* source = \[slurm\.pmix\.\d+\.\d+:(\d+)\]")
_COUNT_WORDS = 3
"""Words that every command begins with: the program, ``-n`` and a number."""


@dataclass(frozen=True, kw_only=True)
class Ranks:
    """What is to be started, whatever starts it.

    Attributes:
        nodes: how many.
        per_node: ranks on each.
        cpus: CPUs, and compute threads, of each rank.
        bind: pin each rank to CPUs of its own.
    """

    nodes: int
    per_node: int
    cpus: int
    bind: bool

    @property
    def count(self) -> int:
        """All ranks."""
        return self.nodes * self.per_node


class Launcher(Protocol):
    """A way to start ranks in a job."""

    @property
    def name(self) -> str:
        """As a request has it."""
        ...

    @property
    def mpi(self) -> str:
        """The MPI whose ranks it makes one world of; empty where it needs none."""
        ...

    @property
    def plug_in(self) -> str:
        """Of Slurm's, which it needs, as ``srun --mpi=list`` names it; empty for none."""
        ...

    @property
    def all_end(self) -> str:
        """Why all ranks end with one, where they do."""
        ...

    def command(self, ranks: Ranks) -> tuple[str, ...]:
        """The command line up to the program's own words, for all nodes of the job."""
        ...

    def placed(self, command: Sequence[str], hosts: Sequence[str], per_node: int) -> list[str]:
        """The same for some nodes, with the program's own words if it has them."""
        ...

    def survives(self, nodes: int) -> bool:
        """Whether ranks on so many nodes live on when one of them dies."""
        ...

    def first_to_end(self, said: str) -> int | None:
        """The rank whose end has ended all, where what was printed then names it."""
        ...


@dataclass(frozen=True)
class Mpiexec:
    """The environment's own Open MPI, which has Slurm start a daemon on each node."""

    name: str = "mpiexec"
    mpi: str = "Open MPI"
    plug_in: str = ""
    all_end: str = "they are on several nodes"

    def command(self, ranks: Ranks) -> tuple[str, ...]:
        """As ``Launcher`` says."""
        return mpiexec_arguments(
            ranks.count,
            bind=ranks.bind,
            threads=ranks.cpus,
            fault_tolerant=self.survives(ranks.nodes),
        )

    def placed(self, command: Sequence[str], hosts: Sequence[str], per_node: int) -> list[str]:
        """As ``Launcher`` says."""
        listed = ",".join(f"{host}:{per_node}" for host in hosts)
        return _with_count(command, len(hosts) * per_node, "--host", listed)

    def survives(self, nodes: int) -> bool:
        """Over several hosts MPI tells nobody of a death, and they would wait for ever."""
        return nodes == 1

    def first_to_end(self, said: str) -> None:
        """Never: a rank's watcher is there to see its end."""


@dataclass(frozen=True)
class Srun:
    """Slurm itself, where its plug-in and the environment's MPI speak the same PMI.

    Attributes:
        plug_in, mpi: as ``Launcher`` says.
    """

    plug_in: str
    mpi: str
    all_end: str = "Slurm has started them as one world"

    @property
    def name(self) -> str:
        """As ``Launcher`` says."""
        return f"srun:{self.plug_in}"

    def command(self, ranks: Ranks) -> tuple[str, ...]:
        """As ``Launcher`` says."""
        return _srun(ranks, self.plug_in, "--kill-on-bad-exit=1")

    def placed(self, command: Sequence[str], hosts: Sequence[str], per_node: int) -> list[str]:
        """As ``Launcher`` says."""
        return _srun_placed(command, hosts, per_node)

    def survives(self, nodes: int) -> bool:
        """Never: Slurm tells no rank of another's death."""
        return False

    def first_to_end(self, said: str) -> int | None:
        """As the plug-in for PMIx says, which may end a rank's watcher before that has seen it."""
        found = _SOURCE.search(said)
        return int(found[1]) if found else None


@dataclass(frozen=True)
class PlainSrun:
    """Slurm, for engines without MPI: one that ends, or a lost node, ends none of the others."""

    name: str = "srun:none"
    mpi: str = ""
    plug_in: str = ""
    all_end: str = ""

    def command(self, ranks: Ranks) -> tuple[str, ...]:
        """As ``Launcher`` says."""
        return _srun(ranks, "none", "--kill-on-bad-exit=0", "--wait=0")

    def placed(self, command: Sequence[str], hosts: Sequence[str], per_node: int) -> list[str]:
        """As ``Launcher`` says."""
        return _srun_placed(command, hosts, per_node)

    def survives(self, nodes: int) -> bool:
        """Always: nothing connects them."""
        return True

    def first_to_end(self, said: str) -> None:
        """Never: none ends all."""


WITHOUT_MPI = PlainSrun()
"""For ``collectives="gloo"``."""

PMIX = Srun("pmix", "Open MPI")
PMI2 = Srun("pmi2", "MPICH")
_WITH_MPI: dict[str, Launcher] = {one.name: one for one in (Mpiexec(), PMIX, PMI2)}
DEFAULT = Mpiexec().name
LAUNCHERS: Mapping[str, Launcher] = {**_WITH_MPI, WITHOUT_MPI.name: WITHOUT_MPI}
"""All of them, by name."""


def launcher(name: str) -> Launcher:
    """One that starts ranks of MPI, by its name.

    Raises:
        RequestError: there is none of this name.
    """
    if name not in _WITH_MPI:
        raise RequestError(
            f"Ranks are started by one of {', '.join(_WITH_MPI)}, but got launcher={name!r}."
            f" Leave it out for {DEFAULT}."
        )
    return _WITH_MPI[name]


def fitting(mpi: str) -> tuple[str, ...]:
    """Names of those that make one world of the ranks of an MPI, such as ``Open MPI``."""
    return tuple(name for name, one in _WITH_MPI.items() if one.mpi == mpi)


def _srun(ranks: Ranks, mpi: str, *further: str) -> tuple[str, ...]:
    return (
        *("srun", "-n", str(ranks.count), "--overlap", f"--mpi={mpi}", "--no-kill"),
        "--quit-on-interrupt",
        *further,
        f"--cpus-per-task={ranks.cpus}",
        "--distribution=block",
        *["--cpu-bind=cores"] * ranks.bind,
    )


def _srun_placed(command: Sequence[str], hosts: Sequence[str], per_node: int) -> list[str]:
    where = (f"--nodes={len(hosts)}", f"--ntasks-per-node={per_node}")
    return _with_count(command, len(hosts) * per_node, *where, f"--nodelist={','.join(hosts)}")


def _with_count(command: Sequence[str], count: int, *placed: str) -> list[str]:
    return [*command[: _COUNT_WORDS - 1], str(count), *placed, *command[_COUNT_WORDS:]]
