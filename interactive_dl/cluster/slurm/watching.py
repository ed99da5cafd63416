"""One look at Slurm for all jobs of this process, less often while nothing moves."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace

from interactive_dl.cluster.slurm import commands
from interactive_dl.cluster.slurm.jobs import Job
from interactive_dl.cluster.slurm.silence import Silence
from interactive_dl.errors import SchedulerError

_LOG = logging.getLogger("interactive_dl.cluster")
_FIRST_S = 0.25
_QUIET_S = 2.5
_SILENT_S = 30.0
_SLOWER = 1.5


@dataclass(frozen=True)
class Pace:
    """Seconds until the next look: short after a change, longer while nothing moves or answers."""

    pause_s: float = _FIRST_S

    def after(self, *, changed: bool, answered: bool) -> Pace:
        """The pace after one more look."""
        if changed:
            return Pace()
        most_s = _QUIET_S if answered else _SILENT_S
        return Pace(min(self.pause_s * _SLOWER, most_s))


class Looking:
    """squeue, and whether the first node of each running job answers: its steward is there.

    Args:
        listing: asks squeue.
        silence: what asks a node.
    """

    def __init__(
        self,
        listing: Callable[[Collection[int]], dict[int, Job]] = commands.listing,
        silence: Callable[[str], Silence] = lambda node: Silence(commands.slurmd_places([node])),
    ) -> None:
        self._listing = listing
        self._silence = silence
        self._firsts: dict[int, tuple[str, Silence]] = {}

    def __call__(self, ids: Collection[int]) -> dict[int, Job]:
        """The jobs as they are.

        Raises:
            SchedulerError: Slurm does not answer.
        """
        found = self._listing(ids)
        running = [job for job in found.values() if job.state == "RUNNING" and job.first]
        self._firsts = {job.id: self._first(job) for job in running}
        for job in running:
            first, silence = self._firsts[job.id]
            found[job.id] = replace(
                job,
                first=first,
                silent_s=silence.longest_s(),
                is_headless=first not in commands.node_names(job.nodes),
            )
        return found

    def _first(self, job: Job) -> tuple[str, Silence]:
        """Slurm names another one where it has taken the first from the job."""
        return self._firsts.get(job.id) or (job.first, self._silence(job.first))


class Watch:
    """Looks at jobs in a thread of its own, which lives while there are jobs to look at.

    Args:
        look: asks Slurm.
    """

    def __init__(self, look: Callable[[Collection[int]], Mapping[int, Job]]) -> None:
        self._look = look
        self._change = threading.Condition()
        self._jobs: dict[int, Job | None] = {}
        self._silence = ""
        self._is_urgent = False
        self._thread: threading.Thread | None = None

    @property
    def silence(self) -> str:
        """Why the latest look told nothing; empty if it told something."""
        return self._silence

    def add(self, job: int) -> None:
        """Look at a job from now on."""
        with self._change:
            self._jobs.setdefault(job, None)
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="slurm jobs", daemon=True)
                self._thread.start()
        self.hurry()

    def remove(self, job: int) -> None:
        """Look at a job no longer."""
        with self._change:
            self._jobs.pop(job, None)
            self._change.notify_all()

    def hurry(self) -> None:
        """Look now: something has happened that Slurm may know of."""
        with self._change:
            self._is_urgent = True
            self._change.notify_all()

    def job(self, job: int) -> Job | None:
        """What the latest look told of a job; None before there was one."""
        with self._change:
            return self._jobs.get(job)

    def _run(self) -> None:
        pace = Pace()
        while watched := self._await_turn(pace.pause_s):
            if watched[1]:
                pace = Pace()
            pace = pace.after(**self._refresh(watched[0]))

    def _await_turn(self, pause_s: float) -> tuple[tuple[int, ...], bool] | None:
        """Jobs to look at, and whether it is urgent; None where there is nothing to do any more."""
        with self._change:
            self._change.wait_for(lambda: self._is_urgent or not self._jobs, pause_s)
            if not self._jobs:
                self._thread = None
                return None
            was_urgent, self._is_urgent = self._is_urgent, False
            return tuple(self._jobs), was_urgent

    def _refresh(self, watched: tuple[int, ...]) -> dict[str, bool]:
        try:
            found = self._look(watched)
        except SchedulerError as error:
            if not self._silence:
                _LOG.warning("%s", error)
            self._silence = str(error)
            return {"changed": False, "answered": False}
        self._silence = ""
        with self._change:
            changed = False
            for number in watched:
                if number in self._jobs:
                    now = found.get(number) or Job(number, "")
                    before = self._jobs[number]
                    changed |= before is None or before.state != now.state
                    changed |= before is not None and bool(before.silent_s) != bool(now.silent_s)
                    self._jobs[number] = now
            return {"changed": changed, "answered": True}


WATCH = Watch(Looking())
"""The one of this process."""


def look_once(job: int) -> Job | None:
    """A job as it is now, watched or not; None where Slurm does not answer."""
    if (known := WATCH.job(job)) is not None:
        return known
    try:
        return commands.listing([job]).get(job) or Job(job, "")
    except SchedulerError:
        return None
