"""What Slurm says of a job, as values, and what that means in words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from interactive_dl.cluster._values import State

LISTING_FORMAT = "%i|%T|%r|%S|%e|%L|%B|%N"
"""Format of squeue for ``parse``: one line for each job, the same in every version of Slurm."""

NODES_FORMAT = "%N|%T|%E"
"""Format of sinfo for ``parse_nodes``: one line for each node."""

_UNFIT = ("down", "drain", "fail", "maint", "unknown", "power", "reboot")
_NEVER = {
    "AccountNotAllowed": "the account may not use the partition",
    "BadConstraints": "no node has what was asked for",
    "DependencyNeverSatisfied": "what it waits for will not happen",
    "InvalidAccount": "the account does not exist",
    "InvalidQOS": "the quality of service does not exist",
    "PartitionConfig": "the partition does not allow so many nodes, so much time, or this account",
    "PartitionNodeLimit": "the partition allows fewer nodes for one job",
    "PartitionTimeLimit": "the partition allows less time",
    "QOSNotAllowed": "the quality of service may not be used here",
    "ReservationDeleted": "the reservation is gone",
}
# MaxWall and MaxNodePerJob can only be kept by asking for less; GrpNodeLimit by waiting.
_PER_JOB = re.compile(r"(Assoc|QOS)(Max|Min)\w*(PerJob|MinutesPerJob|Wall\w*)\w*")
_TOGETHER = re.compile(r"(Assoc|QOS)(Grp\w+|Max\w+Per(User|Account)\w*)")
_USED_UP = "jobs of the account or quality of service already use what it allows them together"
_HELD = {"JobHeldUser": "by its user", "JobHeldAdmin": "by an administrator"}
_WAITING = {
    "BeginTime": "its begin time lies ahead",
    "Dependency": "another job must end first",
    "None": "Slurm has not looked at it yet",
    "Priority": "other jobs come first",
    "ReqNodeNotAvail": "nodes that it needs are not available",
    "Reservation": "its reservation has not begun",
    "Resources": "it is next, and waits for free nodes",
}
_CAUSES = {
    "BOOT_FAIL": "nodes did not boot",
    "FAILED": "its command failed",
    "NODE_FAIL": "Slurm lost a node of it",
    "OUT_OF_MEMORY": "it used more memory than it had asked for (mem_gb)",
    "COMPLETED": "all engines have left",
}
_NAMED_S = 1.5
_TIMED_OUT = frozenset({"TIMEOUT", "DEADLINE"})
_LIVING = frozenset({"RUNNING", "COMPLETING", "SUSPENDED", "STOPPED", "SIGNALING", "STAGE_OUT"})
_SUSPENDED = frozenset({"SUSPENDED", "STOPPED"})
_TO_COME = frozenset(
    {"PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD", "RESV_DEL_HOLD", "REQUEUE_FED"}
)
_PREEMPTED = re.compile(r"\bPreemptTime=\d")
_ENDS = re.compile(r"\bEndTime=(\d\S+)")
_LEFT = re.compile(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+)")


@dataclass(frozen=True)
class Job:
    """A job, as squeue lists it.

    Attributes:
        id: its number.
        state: Slurm's word, such as ``PENDING``; empty where Slurm does not list it any more.
        reason: Slurm's word, such as ``Resources`` or ``NonZeroExitCode``.
        starts_at: when it started or is expected to, local time as ISO 8601; empty if unknown.
        left_s: seconds until Slurm ends it, which may be before its time is used up; None where
            there is no limit.
        nodes: its nodes, such as ``n[1-2]``.
        unfit: those on which Slurm starts nothing any more, with its words for each.
        first: the one that it was started on; empty before that.
        silent_s: for how many seconds that one has not answered; 0 if it does.
        is_headless: whether it goes on without that one.
    """

    id: int
    state: str
    reason: str = ""
    starts_at: str = ""
    left_s: float | None = None
    nodes: str = ""
    unfit: Mapping[str, str] = field(default_factory=dict)
    first: str = ""
    silent_s: float = 0.0
    is_headless: bool = False

    @property
    def is_granted(self) -> bool:
        """Whether it has nodes that it runs on."""
        return self.state in _LIVING

    @property
    def is_over(self) -> bool:
        """Whether it will never run again."""
        return self.state not in _LIVING | _TO_COME


def parse(text: str, now: datetime) -> dict[int, Job]:
    """The jobs of a listing in ``LISTING_FORMAT``, by number; other lines are no jobs.

    Args:
        text: what squeue printed.
        now: local time, as Slurm's times are.
    """
    split = (line.strip().split("|") for line in text.splitlines())
    jobs = [_job(now, *fields) for fields in split if len(fields) == 8 and fields[0].isdigit()]
    return {job.id: job for job in jobs}


def preempted_s(described: str, now: datetime) -> float | None:
    """Seconds that are left of a job which makes room for another; None for all other jobs.

    Args:
        described: what ``scontrol show job`` printed.
        now: local time, as Slurm's times are.
    """
    if _PREEMPTED.search(described) is None:
        return None
    ends = _ENDS.search(described)
    return 0.0 if ends is None else _seconds_to(ends[1], now)


def parse_nodes(text: str) -> dict[str, str]:
    """Nodes of a listing in ``NODES_FORMAT`` that start nothing any more: state and reason."""
    rows = (line.strip().split("|", 2) for line in text.splitlines())
    return {
        node: state if reason in ("", "none", "None") else f"{state} ({reason})"
        for node, state, reason in (row for row in rows if len(row) == 3)
        if is_unfit(state)
    }


def is_unfit(state: str) -> bool:
    """Whether a node in this state of Slurm's (``idle``, ``draining*``) starts nothing."""
    return state.endswith("*") or any(word in state.lower() for word in _UNFIT)


def _job(
    now: datetime,
    number: str,
    state: str,
    reason: str,
    starts: str,
    ends: str,
    left: str,
    first: str,
    nodes: str,
) -> Job:
    starts_at = starts if starts[:1].isdigit() else ""
    left_s = left_seconds(left)
    if left_s is not None and ends[:1].isdigit():
        left_s = min(left_s, _seconds_to(ends, now))
    first = first if nodes and first != "n/a" else ""
    return Job(int(number), state, reason, starts_at, left_s, nodes, first=first)


def _seconds_to(time: str, now: datetime) -> float:
    return max(0.0, (datetime.fromisoformat(time) - now).total_seconds())


def left_seconds(text: str) -> float | None:
    """Seconds in Slurm's ``days-hours:minutes:seconds``; None for UNLIMITED and the like."""
    if (found := _LEFT.fullmatch(text)) is None:
        return None
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return float(((days * 24 + hours) * 60 + minutes) * 60 + seconds)


def never(job: Job) -> str:
    """Why a pending job can never start; empty if it can."""
    if job.state != "PENDING":
        return ""
    reason = job.reason.partition(",")[0]
    if reason in _NEVER:
        return f"{_NEVER[reason]} ({reason})"
    if _PER_JOB.fullmatch(reason):
        return f"the account or quality of service has a limit for one job ({reason})"
    return ""


def waiting_state(job: Job) -> State:
    """The state of a cluster whose job is not running yet."""
    if why := never(job):
        return State("impossible", f"Job {job.id} can never start: {why}.")
    if job.state == "CONFIGURING":
        return State("pending", f"Job {job.id} has nodes {job.nodes}, which are being prepared.")
    reason = job.reason.partition(",")[0]
    if reason in _HELD:
        words = f"Job {job.id} is held {_HELD[reason]}. Type: scontrol release {job.id}"
        return State("pending", words)
    other = _USED_UP if _TOGETHER.fullmatch(reason) else "it waits"
    why = _WAITING.get(reason, other)
    expected = f" Expected to start at {job.starts_at}." if job.starts_at else ""
    return State("pending", f"Job {job.id}: {why} ({job.reason}).{expected}")


def ended_state(job: Job) -> State:
    """The state of a cluster whose job is over."""
    if job.state in _TIMED_OUT:
        return State("timed out", f"Job {job.id} has used up its time (walltime_min).")
    if job.state == "CANCELLED":
        return State("cancelled", f"Job {job.id} was cancelled.")
    if job.state == "PREEMPTED":
        return State("pre-empted", f"Job {job.id} made room for another job.")
    if not job.state:
        return State("failed", f"Job {job.id} is over; Slurm does not list it any more.")
    cause = _CAUSES.get(job.state, "it ended")
    said = "" if job.reason in ("", "None") else f", {job.reason}"
    return State("failed", f"Job {job.id}: {cause} ({job.state}{said}).")


def granted_words(job: Job) -> str:
    """Nodes and time left of a running job."""
    left = "without a time limit" if job.left_s is None else f"{duration(job.left_s)} left"
    unfit = ", ".join(f"{node} is {words}" for node, words in job.unfit.items())
    shown = f" {unfit}: Slurm starts nothing more there." if unfit else ""
    stopped = " is suspended until Slurm resumes it" if job.state in _SUSPENDED else ""
    return f"Job {job.id} on {job.nodes}{stopped}, {left}.{shown}"


def headless_words(job: Job, *, is_warned: bool = False) -> str:
    """That a running job has nobody who looks after its engines, and what to do; empty if it has.

    Args:
        job: with what is known of its first node.
        is_warned: whether what runs elsewhere goes on, and is asked to leave in time all the same.
    """
    if job.is_headless:
        said = f"Slurm has taken {job.first} from job {job.id}"
    elif job.silent_s > _NAMED_S:
        said = f"No answer from {job.first} for {duration(job.silent_s)}"
    else:
        return ""
    missed = "not started again" if is_warned else "neither started again nor warned before the end"
    return (
        f"{said}, from which its engines are started and looked after: they are {missed}."
        " Type: cluster.renew() to go on from the last checkpoints on other nodes."
    )


def duration(seconds: float) -> str:
    """A time to come, rounded down: ``45 s``, ``59 min``, ``2 h 5 min``."""
    minutes = int(seconds // 60)
    if minutes < 1:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"
