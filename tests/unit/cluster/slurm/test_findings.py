"""What the preflight on compute nodes makes of what these saw."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from interactive_dl.cluster._doctor_checks import Check
from interactive_dl.cluster.examination._facts import Ended, Here, NodeFacts
from interactive_dl.cluster.slurm.preflight._facts import JobFacts, Question
from interactive_dl.cluster.slurm.preflight._findings import checks

OPEN_MPI = "Open MPI v5.0.11"
PACKAGES = {"keras": "3.12.0", "mpi4py": "4.1.1"}
HERE = Here(
    "login",
    "10.77.0.1",
    "/home/ada/.ipython",
    "3.11.7",
    PACKAGES,
    {"lo": "127.0.0.1", "eth0": "10.77.0.1", "eth1": "192.168.1.5"},
)
ASKED = Question("10.77.0.1", 5000, "token", 2, 4, "mpiexec", ("mpiexec",))
BY_SLURM = msgspec.structs.replace(ASKED, launcher="srun:pmix", start=("srun",))


def node(name: str, **other: Any) -> NodeFacts:
    seen = NodeFacts(
        machine=f"{name} boot",
        cores=4,
        has_mark=True,
        unreached="",
        node=name,
        round_trip_s=2e-4,
        ahead_s=0.001,
        python="3.11.7",
        packages=PACKAGES,
        mpi=OPEN_MPI,
        mpiexec=f"mpiexec ({OPEN_MPI})",
        addresses={"lo": "127.0.0.1", "eth0": "10.77.0.11"},
        shm_free_bytes=2**30,
    )
    return msgspec.structs.replace(seen, **other)


def link(one: str, other: str, bytes_per_s: float = 1e9) -> dict[str, Any]:
    return {"nodes": [one, other], "latency_s": 3e-5, "bytes_per_s": bytes_per_s}


def job(
    problem: str = "",
    plain: tuple[int, ...] = (1, 1, 1, 1),
    plug_ins: tuple[str, ...] = ("none", "pmi2"),
    **other: Any,
) -> JobFacts:
    facts = {
        "size": 4,
        "sizes": [{"bytes": 8, "seconds": 1e-5, "right": True}],
        "hosts": {"n1": 2, "n2": 2},
        "links": [link("n1", "n2")],
        **other,
    }
    lines = () if problem else (json.dumps(facts),)
    alone = tuple(json.dumps({"size": size}) for size in plain)
    return JobFacts(Ended(()), Ended(lines, problem), Ended(alone, ""), plug_ins)


def found(
    *nodes: NodeFacts, here: Here = HERE, told: JobFacts | None = None, asked: Question = ASKED
) -> dict[str, Check]:
    seen = {one.node: one for one in nodes or (node("n1"), node("n2"))}
    return {one.name: one for one in checks(here, asked, seen, told or job(), "")}


def failed(all_: dict[str, Check]) -> list[str]:
    return [name for name, check in all_.items() if not check.ok]


def test_nodes_that_are_fit_pass() -> None:
    all_ = found()
    assert failed(all_) == []
    assert all_["nodes"].value == "n1, n2"
    assert all_["ranks"].value == "2 on n1, 2 on n2"
    assert all_["links between nodes"].value.startswith("30 us at most (n1-n2), 1 GB/s")


def test_a_controller_on_localhost_is_named_with_the_interface_to_use() -> None:
    here = Here(**{**vars(HERE), "address": "127.0.0.1"})
    blind = [node(name, unreached="no reply within 3 s") for name in ("n1", "n2")]
    all_ = found(*blind, here=here)
    assert failed(all_) == ["address of controller"]
    assert "which on n1, n2 is the node itself" in all_["address of controller"].cause
    assert "interface='eth0' (10.77.0.1)" in all_["address of controller"].fix
    assert "192.168" not in all_["address of controller"].fix


def test_a_node_behind_a_firewall_is_named() -> None:
    all_ = found(node("n1"), node("n2", unreached="no reply within 3 s"))
    assert failed(all_) == ["address of controller"]
    assert all_["address of controller"].cause.startswith("n2 cannot reach 10.77.0.1")


@pytest.mark.parametrize(
    ("other", "name", "cause"),
    [
        ({"ahead_s": 12.0}, "clocks", "out of order"),
        ({"has_mark": False}, "shared folder", "n2 do not see it"),
        ({"packages": {**PACKAGES, "keras": "3.9.0"}}, "versions", "n2 has keras 3.9.0"),
        ({"packages": {"keras": "3.12.0"}}, "versions", "n2 has mpi4py not at all"),
        ({"python": "3.12.1"}, "versions", "n2 has python 3.12.1"),
        ({"shm_free_bytes": 2**20}, "/dev/shm", "exchange data"),
        ({"shm_free_bytes": None}, "/dev/shm", "exchange data"),
        ({"mpiexec": "HYDRA build details:\n Version: 5.0.2"}, "one MPI", "is of MPICH 5.0.2"),
        ({"mpiexec": ""}, "one MPI", "is of none"),
        ({"mpi": ""}, "one MPI", "loads no MPI"),
    ],
)
def test_a_node_that_differs_is_named_with_the_cause(
    other: dict[str, Any], name: str, cause: str
) -> None:
    all_ = found(node("n1"), node("n2", **other))
    assert failed(all_) == [name]
    assert cause in all_[name].cause
    assert all_[name].fix


def test_nodes_with_two_releases_of_mpi_are_told() -> None:
    older = "Open MPI v4.1.6"
    all_ = found(node("n1"), node("n2", mpi=older, mpiexec=f"mpiexec ({older})"))
    assert failed(all_) == ["one MPI"]


def test_worlds_of_size_1_are_the_trap() -> None:
    all_ = found(told=job(size=1, hosts={"n1": 1}, links=[]))
    assert failed(all_) == ["allreduce, all nodes", "ranks"]
    assert "each is alone in a world of size 1" in all_["allreduce, all nodes"].cause
    assert "launcher='mpiexec'" in all_["allreduce, all nodes"].fix


def test_a_launcher_that_slurm_does_not_offer_is_told_with_those_that_it_does() -> None:
    all_ = found(asked=BY_SLURM)
    assert failed(all_) == ["launcher"]
    assert "none, pmi2" in all_["launcher"].cause
    assert "launcher='mpiexec'" in all_["launcher"].fix


def test_a_plug_in_whose_library_is_missing_is_told() -> None:
    said = "exit code 1: srun: error: Invalid MPI type 'pmix', --mpi=list for acceptable types"
    all_ = found(told=job(problem=said, plug_ins=("none", "pmix")), asked=BY_SLURM)
    assert failed(all_) == ["launcher", "allreduce, all nodes"]
    assert "launcher='mpiexec'" in all_["launcher"].fix


def test_ranks_that_slurm_starts_need_its_mpi_and_no_mpiexec() -> None:
    pmix = job(plug_ins=("none", "pmix"))
    without = [node(name, mpiexec="") for name in ("n1", "n2")]
    assert failed(found(*without, told=pmix, asked=BY_SLURM)) == []
    other = node("n2", mpi="MPICH Version:      5.0.2")
    all_ = found(node("n1"), other, told=pmix, asked=BY_SLURM)
    assert failed(all_) == ["one MPI"]
    assert "on n2 mpi4py loads MPICH 5.0.2" in all_["one MPI"].cause


def test_ranks_of_mpich_are_started_by_its_own_plug_in() -> None:
    by_pmi2 = msgspec.structs.replace(ASKED, launcher="srun:pmi2", start=("srun",))
    mpich = [node(name, mpi="MPICH Version:      5.0.2", mpiexec="") for name in ("n1", "n2")]
    assert failed(found(*mpich, asked=by_pmi2)) == []
    all_ = found(mpich[0], node("n2"), asked=by_pmi2)
    assert failed(all_) == ["one MPI"]
    assert "makes one world of ranks of MPICH, but on n2" in all_["one MPI"].cause
    assert "launcher='mpiexec' or launcher='srun:pmix'" in all_["one MPI"].fix


def test_worlds_of_size_1_under_srun_name_the_launchers_that_fit() -> None:
    told = job(size=1, hosts={"n1": 1}, links=[], plug_ins=("none", "pmix"))
    world = found(told=told, asked=BY_SLURM)["allreduce, all nodes"]
    assert "srun:pmix started 4 ranks, but each is alone in a world of size 1" in world.cause
    assert "launcher='mpiexec' or launcher='srun:pmix'" in world.fix


def test_ranks_that_do_not_come_up_are_told_in_mpiexecs_words() -> None:
    all_ = found(told=job(problem="exit code 213: No interface named ib9"))
    assert failed(all_) == ["allreduce, all nodes"]
    assert "No interface named ib9" in all_["allreduce, all nodes"].cause


def test_a_slow_link_is_named() -> None:
    links = [link("n1", "n2"), link("n1", "n3"), link("n2", "n3", 1e7)]
    all_ = found(told=job(links=links))
    assert failed(all_) == ["links between nodes"]
    assert "n2-n3 is 100 times slower" in all_["links between nodes"].cause


def test_what_a_plain_srun_would_do_is_said() -> None:
    assert "4 worlds of size 1: mpiexec is needed" in found()["srun and MPI"].value
    offered = found(told=job(plug_ins=("none", "pmix")))
    assert "mpiexec or srun:pmix is needed" in offered["srun and MPI"].value
    one = found(told=job(plain=(4, 4, 4, 4)))
    assert "one world, too" in one["srun and MPI"].value


def test_a_node_that_is_silent_is_counted() -> None:
    all_ = found(node("n1"))
    assert failed(all_) == ["nodes"]
    assert all_["nodes"].cause.startswith("1 of 2 nodes answered")


def test_a_job_that_answers_without_any_node_is_told() -> None:
    all_ = {one.name: one for one in checks(HERE, ASKED, {}, job(problem="exit code 1"), "")}
    assert failed(all_) == ["nodes", "allreduce, all nodes"]
    assert all_["nodes"].cause.startswith("0 of 2 nodes answered")


def test_a_job_of_which_nothing_is_heard_tells_what_became_of_it() -> None:
    (one,) = checks(HERE, ASKED, {}, None, "Job 7 FAILED (NonZeroExitCode)")
    assert not one.ok
    assert "Job 7 FAILED" in one.cause
    assert "IPYTHONDIR" in one.fix
