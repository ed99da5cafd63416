"""What a cluster leaves on disk for other processes: how it was started."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from interactive_dl.cluster.environment import Binding
from interactive_dl.errors import ClusterError
from interactive_dl.telemetry import whole
from interactive_dl.telemetry.commands import Collectives


@dataclass(frozen=True)
class Options:
    """How a cluster is to be started.

    Attributes:
        engines: number of engines.
        threads_per_engine: compute threads of each; None divides the cores among the engines.
        binding: ``auto``, ``core`` or ``none``.
        oversubscribe: whether there may be more engines than cores.
        start_timeout_s: how long engines may take to register.
        environment: variables for controller and engines, over everything else.
        runs: folder of the journals.
        where: the kind of allocation: ``local``, ``slurm`` or ``ssh``.
        collectives: what connects the engines: ``mpi`` or ``gloo``.
        request: what is asked of a scheduler, complete.
    """

    engines: int = 4
    threads_per_engine: int | None = None
    binding: Binding = "auto"
    oversubscribe: bool = True
    start_timeout_s: float = 60.0
    environment: dict[str, str] = field(default_factory=dict)
    runs: str = "runs"
    where: str = "local"
    collectives: Collectives = "mpi"
    request: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Description:
    """A started cluster, as its file says.

    Attributes:
        cluster_id: its id.
        host: where controller and mpiexec run.
        options: how it was started.
        started_at_s: seconds since the epoch.
        controller_pid: process id of the controller's supervisor; 0 before it runs.
        mpiexec_pid: process id of mpiexec; 0 before it runs, and where it runs in a job or there
            is none.
        recorder_pid: process id of the recorder's supervisor; 0 before it runs.
        job: number of the scheduler's job in which the engines run; 0 without one.
        follow_on: number of the job that was asked for to go on in, and has not come yet; 0 for
            none.
    """

    cluster_id: str
    host: str
    options: Options
    started_at_s: float
    controller_pid: int = 0
    mpiexec_pid: int = 0
    recorder_pid: int = 0
    job: int = 0
    follow_on: int = 0

    def write(self, path: Path) -> None:
        """Leave it for other processes: a reader sees the whole file or none."""
        whole.write(path, json.dumps(asdict(self), indent=1))

    @classmethod
    def read(cls, path: Path) -> Description:
        """Read what ``write`` wrote.

        Raises:
            FileNotFoundError: there is no such cluster.
            ClusterError: another version wrote it.
        """
        text = path.read_text()
        try:
            fields = json.loads(text)
            fields["options"] = Options(**fields["options"])
            return cls(**fields)
        except (ValueError, TypeError, KeyError) as error:
            raise ClusterError(
                "A cluster is reached with the version of interactive_dl that started it, but"
                f" {path} is of another one: {error}. Stop it in that environment: idl cluster stop"
                f" {path.parent.name}"
            ) from error
