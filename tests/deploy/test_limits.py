"""Accounts and qualities of service, and the limits that a real slurmdbd keeps them to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import interactive_dl as idl
from interactive_dl.cluster import State
from interactive_dl.cluster.slurm import commands, jobs
from interactive_dl.errors import AllocationRefusedError
from tests.deploy import drills


@pytest.fixture(scope="module", autouse=True)
def limits() -> Iterator[None]:
    """What root may use: its own account, which has no limits, and one with limits."""
    drills.accounting("add qos brief set MaxWall=2")
    drills.accounting("add qos lonely set MaxJobsPerUser=1")
    drills.accounting("modify user root set qos+=brief,lonely")
    drills.accounting("add account small set MaxNodes=1 GrpTRES=cpu=2")
    drills.accounting("add user root account=small")
    yield
    drills.accounting("delete user root account=small")
    drills.accounting("delete account small")
    drills.accounting("delete qos brief,lonely")


@pytest.fixture
def submit(tmp_path: Path) -> Iterator[Callable[..., int]]:
    """Hands in the job of a cluster that asks for this; it is cancelled in the end."""
    ids: list[int] = []

    def submit_(**request: Any) -> int:
        script = tmp_path / f"job-{len(ids)}.sh"
        script.write_text(idl.Cluster("slurm", walltime_min=2, **request).job_script())
        ids.append(commands.submit(script))
        return ids[-1]

    yield submit_
    for number in ids:
        commands.cancel(number, kill=True)


@pytest.fixture
def told(until: Callable[..., None]) -> Callable[[int, str], State]:
    """What a person is told of a waiting job, as soon as Slurm has this reason for it."""

    def told_(number: int, reason: str) -> State:
        until(lambda: commands.listing([number])[number].reason == reason, reason)
        return jobs.waiting_state(commands.listing([number])[number])

    return told_


def test_an_account_that_does_not_exist_is_refused_in_sbatchs_words() -> None:
    cluster = idl.Cluster("slurm", account="nobody")
    with pytest.raises(AllocationRefusedError, match="Invalid account or account/partition"):
        cluster.start()
    assert cluster.state.name == "refused"


@pytest.mark.parametrize(
    ("request_", "words"),
    [({"qos": "nowhere"}, "Invalid qos"), ({"account": "small", "qos": "brief"}, "Invalid qos")],
)
def test_what_the_account_may_not_use_is_refused(
    submit: Callable[..., int], request_: dict[str, str], words: str
) -> None:
    with pytest.raises(AllocationRefusedError, match=words):
        submit(**request_)


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        ({"qos": "brief", "extra_directives": ["--time=9"]}, "QOSMaxWallDurationPerJobLimit"),
        ({"account": "small", "nodes": 2}, "AssocMaxNodePerJobLimit"),
    ],
)
def test_a_limit_for_one_job_can_never_be_met(
    submit: Callable[..., int],
    told: Callable[[int, str], State],
    request_: dict[str, Any],
    reason: str,
) -> None:
    state = told(submit(**request_), reason)
    assert state.name == "impossible"
    assert f"has a limit for one job ({reason})" in state.reason


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        ({"qos": "lonely"}, "QOSMaxJobsPerUserLimit"),
        ({"account": "small", "cpus_per_engine": 2}, "AssocGrpCpuLimit"),
    ],
)
def test_a_limit_for_all_jobs_together_is_waited_for(
    submit: Callable[..., int],
    told: Callable[[int, str], State],
    request_: dict[str, Any],
    reason: str,
) -> None:
    submit(**request_)
    state = told(submit(**request_), reason)
    assert state.name == "pending"
    assert f"already use what it allows them together ({reason})" in state.reason
