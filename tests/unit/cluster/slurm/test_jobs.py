"""What squeue prints, as values and in words."""

from __future__ import annotations

from datetime import datetime

import pytest

from interactive_dl.cluster.slurm import jobs
from interactive_dl.cluster.slurm.jobs import Job

_NOW = datetime(2026, 11, 28, 3, 44, 54)
_LISTING = """\
7|PENDING|Resources|2026-11-28T04:00:00|2026-11-28T04:10:00|10:00|n/a|
8|RUNNING|None|2026-11-28T03:44:52|2026-11-29T05:47:58|1-02:03:04|n1|n[1-2]
9|PENDING|ReqNodeNotAvail, UnavailableNodes:n3|N/A|N/A|UNLIMITED|n/a|
10|RUNNING|None|2026-11-28T03:44:52|2026-11-28T03:45:22|9:58|n3|n3
11|RUNNING|None|2026-11-28T03:44:52|2027-11-28T03:44:52|UNLIMITED|n4|n4
slurm_load_jobs error: something else
"""


def test_a_listing_is_read() -> None:
    assert jobs.parse(_LISTING, _NOW) == {
        7: Job(7, "PENDING", "Resources", "2026-11-28T04:00:00", 600.0),
        8: Job(8, "RUNNING", "None", "2026-11-28T03:44:52", 93784.0, "n[1-2]", first="n1"),
        9: Job(9, "PENDING", "ReqNodeNotAvail, UnavailableNodes:n3"),
        10: Job(10, "RUNNING", "None", "2026-11-28T03:44:52", 28.0, "n3", first="n3"),
        11: Job(11, "RUNNING", "None", "2026-11-28T03:44:52", None, "n4", first="n4"),
    }


@pytest.mark.parametrize(
    ("described", "left_s"),
    [
        ("StartTime=2026-11-28T03:40:00 EndTime=2026-11-28T04:40:00 Deadline=N/A", None),
        (
            "EndTime=2026-11-28T04:40:00\n PreemptEligibleTime=2026-11-28T03:40 PreemptTime=None",
            None,
        ),
        ("EndTime=2026-11-28T03:45:14\n PreemptTime=2026-11-28T03:44:50", 20.0),
        ("EndTime=2026-11-28T03:44:50\n PreemptTime=2026-11-28T03:44:40", 0.0),
        ("EndTime=Unknown\n PreemptTime=2026-11-28T03:44:40", 0.0),
    ],
)
def test_a_job_that_makes_room_has_some_grace(described: str, left_s: float | None) -> None:
    assert jobs.preempted_s(described, _NOW) == left_s


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0:00", 0.0),
        ("59:30", 3570.0),
        ("1:00:00", 3600.0),
        ("2-00:00:01", 172801.0),
        ("UNLIMITED", None),
        ("INVALID", None),
        ("NOT_SET", None),
    ],
)
def test_slurms_times_are_read(text: str, seconds: float | None) -> None:
    assert jobs.left_seconds(text) == seconds


@pytest.mark.parametrize(
    ("state", "granted", "over"),
    [
        ("PENDING", False, False),
        ("CONFIGURING", False, False),
        ("RUNNING", True, False),
        ("COMPLETING", True, False),
        ("COMPLETED", False, True),
        ("NODE_FAIL", False, True),
        ("PREEMPTED", False, True),
        ("", False, True),
    ],
)
def test_a_job_is_to_come_or_granted_or_over(state: str, granted: bool, over: bool) -> None:
    job = Job(1, state)
    assert (job.is_granted, job.is_over) == (granted, over)


@pytest.mark.parametrize(
    ("reason", "name", "words"),
    [
        ("Resources", "pending", "it is next, and waits for free nodes (Resources)"),
        ("Priority", "pending", "other jobs come first (Priority)"),
        ("ReqNodeNotAvail, UnavailableNodes:n3", "pending", "(ReqNodeNotAvail, Unavail"),
        ("SomethingNew", "pending", "it waits (SomethingNew)"),
        ("JobHeldUser", "pending", "scontrol release 5"),
        ("QOSMaxCpuPerUserLimit", "pending", "together (QOSMaxCpuPerUserLimit)"),
        ("AssocGrpNodeLimit", "pending", "together (AssocGrpNodeLimit)"),
        ("PartitionTimeLimit", "impossible", "the partition allows less time"),
        ("QOSMaxNodePerJobLimit", "impossible", "a limit for one job (QOSMaxNodePerJobLimit)"),
        ("AssocMaxWallDurationPerJobLimit", "impossible", "a limit for one job"),
        ("QOSMaxWallDurationPerJobLimit", "impossible", "a limit for one job"),
        ("QOSMinCpuNotSatisfied", "pending", "it waits"),
        ("DependencyNeverSatisfied", "impossible", "will not happen"),
    ],
)
def test_a_waiting_job_says_why(reason: str, name: str, words: str) -> None:
    state = jobs.waiting_state(Job(5, "PENDING", reason))
    assert state.name == name
    assert words in state.reason


def test_a_waiting_job_says_when_it_is_expected_to_start() -> None:
    state = jobs.waiting_state(Job(5, "PENDING", "Resources", "2026-11-28T04:00:00"))
    assert state.reason.endswith("Expected to start at 2026-11-28T04:00:00.")


@pytest.mark.parametrize(
    ("job", "name", "words"),
    [
        (Job(5, "TIMEOUT", "TimeLimit"), "timed out", "walltime_min"),
        (Job(5, "CANCELLED"), "cancelled", "Job 5 was cancelled."),
        (Job(5, "PREEMPTED"), "pre-empted", "made room"),
        (Job(5, "NODE_FAIL", "NodeDown"), "failed", "lost a node of it (NODE_FAIL, NodeDown)"),
        (Job(5, "OUT_OF_MEMORY", "OutOfMemory"), "failed", "mem_gb"),
        (Job(5, "COMPLETED", "None"), "failed", "all engines have left (COMPLETED)."),
        (Job(5, ""), "failed", "does not list it any more"),
    ],
)
def test_an_ended_job_says_how(job: Job, name: str, words: str) -> None:
    state = jobs.ended_state(job)
    assert state.name == name
    assert words in state.reason


@pytest.mark.parametrize(
    ("left_s", "words"),
    [
        (None, "without a time limit"),
        (42.0, "42 s left"),
        (600.0, "10 min left"),
        (7500.0, "2 h 5 min left"),
    ],
)
def test_a_running_job_says_where_and_how_long(left_s: float | None, words: str) -> None:
    assert words in jobs.granted_words(Job(5, "RUNNING", left_s=left_s, nodes="n[1-2]"))


@pytest.mark.parametrize(
    ("silent_s", "is_headless", "said"),
    [
        (0.0, False, ""),
        (1.0, False, ""),
        (4.0, False, "No answer from n1 for 4 s, from"),
        (0.0, True, "Slurm has taken n1 from job 5, from"),
    ],
)
def test_a_job_without_its_first_node_is_told(
    silent_s: float, is_headless: bool, said: str
) -> None:
    job = Job(5, "RUNNING", first="n1", silent_s=silent_s, is_headless=is_headless)
    told = jobs.headless_words(job)
    assert told.startswith(said)
    assert bool(told) == bool(said) == ("Type: cluster.renew()" in told)
    assert bool(told) == ("neither started again nor warned" in told)
    assert "warned" not in jobs.headless_words(job, is_warned=True)
