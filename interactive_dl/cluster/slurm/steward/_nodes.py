"""The nodes that a world of engines runs on, and what is left on them."""

from __future__ import annotations

import logging
import math
import signal
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import psutil

from interactive_dl.cluster import _processes
from interactive_dl.cluster.slurm import commands, jobs
from interactive_dl.cluster.slurm.launchers import Launcher
from interactive_dl.cluster.slurm.silence import Place, Silence
from interactive_dl.errors import SchedulerError

_LOG = logging.getLogger("interactive_dl.cluster")
_ENGINE = "-m interactive_dl.engine"
_LATER_S = 10.0


class Nodes(Protocol):
    """What a steward must know of its nodes, and can do there.

    Attributes:
        job: number of the job that they belong to; 0 without one.
        slots: how many engines each is to have, by its name.
        silence: whether they answer.
        go_on: what to type when the steward is told to end.
    """

    job: int
    slots: Mapping[str, int]
    silence: Silence
    go_on: str

    def placed(self, command: Sequence[str], hosts: Sequence[str]) -> list[str]:
        """The command that starts all engines, for some of the nodes."""
        ...

    def survive(self, count: int) -> bool:
        """Whether ranks on so many of them live on when one dies."""
        ...

    def first_to_end(self, said: str) -> int | None:
        """The rank whose end has ended all, where what was printed then names it."""
        ...

    def sweep(self) -> None:
        """End what a world that has ended left where mpiexec ran."""
        ...

    def clear(self) -> None:
        """End what is left of it on all of them, before another one starts."""
        ...

    def unfit(self) -> Collection[str]:
        """Those on which nothing is to be started any more."""
        ...

    def ending(self, number: int) -> str:
        """Why the steward was sent this signal, in words."""
        ...

    def leaving(self) -> Leaving | None:
        """When what runs here is to be asked to leave; None where nobody says."""
        ...


class Leaving(NamedTuple):
    """When what runs on nodes is to be asked to leave, if the steward has not done so by then.

    Attributes:
        in_s: seconds until then; infinite for never.
        why: in words, which stay the same while the time is another.
    """

    in_s: float
    why: str


class JobNodes:
    """Nodes of a Slurm job.

    Args:
        job: its number.
        folder: the cluster's.
        nodes: of the job; this runs on the first one.
        per_node: engines on each.
        launcher: what starts them.
        warn_s: seconds before its end at which Slurm tells the steward; 0 for never.
    """

    go_on = "cluster.renew()"

    def __init__(
        self,
        job: int,
        folder: Path,
        nodes: Sequence[str],
        per_node: int,
        launcher: Launcher,
        warn_s: int,
    ) -> None:
        self.job = job
        self.slots: Mapping[str, int] = dict.fromkeys(nodes, per_node)
        self.silence = Silence({}, seek=self._places if len(nodes) > 1 else None)
        self._folder = folder
        self._per_node = per_node
        self._launcher = launcher
        self._warn_s = warn_s

    def _places(self) -> Mapping[str, Place]:
        """Of all nodes; of none while Slurm does not answer."""
        try:
            return commands.slurmd_places(tuple(self.slots))
        except SchedulerError as error:
            _LOG.warning("Whether nodes answer is not known: %s", error)
            return {}

    def placed(self, command: Sequence[str], hosts: Sequence[str]) -> list[str]:
        return self._launcher.placed(command, hosts, self._per_node)

    def survive(self, count: int) -> bool:
        return self._launcher.survives(count)

    def first_to_end(self, said: str) -> int | None:
        return self._launcher.first_to_end(said)

    def sweep(self) -> None:
        # An mpiexec that was killed leaves those on its own node behind.
        marked = _processes.marked(self._folder)
        _processes.end([one for one in marked if self._is_ours(one)], grace_s=0.0)

    def _is_ours(self, process: psutil.Process) -> bool:
        """Whether it is an engine of this job: a follow-on job may share the node."""
        try:
            job = process.environ().get("SLURM_JOB_ID")
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            return False
        return job == str(self.job) and _processes.has(process, _ENGINE)

    def clear(self) -> None:
        try:
            commands.end_steps(self.job, keep=commands.KEEPER)
        except SchedulerError as error:
            _LOG.warning("Steps of the world that has ended may go on: %s", error)

    def unfit(self) -> Collection[str]:
        try:
            return commands.unfit_nodes(tuple(self.slots))
        except SchedulerError as error:
            _LOG.warning("Nodes that Slurm has taken out of service are not known: %s", error)
            return ()

    def ending(self, number: int) -> str:
        try:
            if (left_s := commands.preempted_s(self.job)) is not None:
                soon = jobs.duration(left_s)
                return f"Slurm job {self.job} makes room for another, and ends in {soon}"
        except SchedulerError as error:
            _LOG.warning("%s", error)
        if number == signal.SIGTERM:
            return f"Slurm job {self.job} is cancelled, or makes room for another"
        try:
            job = commands.listing([self.job]).get(self.job)
        except SchedulerError:
            job = None
        left = "soon" if job is None or job.left_s is None else f"in {jobs.duration(job.left_s)}"
        return f"Slurm job {self.job} ends {left}"

    def leaving(self) -> Leaving | None:
        """After Slurm would have told, where there is a steward to hear it."""
        if not self._warn_s:
            return None
        try:
            job = commands.listing([self.job]).get(self.job)
        except SchedulerError as error:
            _LOG.debug("%s", error)
            return None
        if job is None:
            return None
        why = f"Slurm job {self.job} ends in {jobs.duration(self._warn_s)}"
        if job.left_s is None:
            return Leaving(math.inf, why)
        later_s = min(_LATER_S, self._warn_s / 2)
        return Leaving(max(0.0, job.left_s - self._warn_s + later_s), why)
