"""What the doctor makes of what hosts of ssh saw; what it shares with Slurm's is tested there."""

from __future__ import annotations

import json
from typing import Any

from interactive_dl.cluster._doctor_checks import Check
from interactive_dl.cluster.examination._facts import Ended, Here, NodeFacts
from interactive_dl.cluster.ssh._connection import Problem
from interactive_dl.cluster.ssh._findings import checks
from interactive_dl.cluster.ssh.request import request_of

OPEN_MPI = "Open MPI v5.0.11"
PACKAGES = {"keras": "3.12.0"}
ADDRESSES = {"lo": "127.0.0.1", "eth0": "10.77.0.1"}
HERE = Here("desk", "10.77.0.1", "/home/ada/.ipython", "3.11.7", PACKAGES, ADDRESSES)


def _host(name: str, *, unreached: str = "", mpiexec: str = OPEN_MPI) -> NodeFacts:
    return NodeFacts(
        machine=f"{name} boot",
        cores=4,
        has_mark=True,
        unreached=unreached,
        node=name,
        round_trip_s=2e-4,
        ahead_s=0.001,
        python="3.11.7",
        packages=PACKAGES,
        mpi=OPEN_MPI,
        mpiexec=mpiexec,
        addresses={"eth0": "10.77.0.11"},
        shm_free_bytes=2**30,
    )


def _world(**other: Any) -> Ended:
    rates = {"n1-n2": 1e9, "n1-n3": 1e9, "n2-n3": other.pop("slowest", 1e9)}
    facts = {
        "size": 4,
        "sizes": [{"bytes": 8, "seconds": 1e-5, "right": True}],
        "hosts": {"n1": 1, "n2": 2, "n3": 1},
        "links": [
            {"nodes": pair.split("-"), "latency_s": 3e-5, "bytes_per_s": rate}
            for pair, rate in rates.items()
        ],
        **other,
    }
    return Ended((json.dumps(facts),))


def _found(
    *hosts: NodeFacts, world: Ended | None = None, problems: dict[str, Problem] | None = None
) -> dict[str, Check]:
    seen = {one.node: one for one in hosts or map(_host, ("n1", "n2", "n3"))}
    request = request_of({"hosts": ["n1", "n2:2", "n3"]})
    all_ = checks(HERE, request, problems or {}, seen, world or _world())
    return {one.name: one for one in all_}


def _failed(all_: dict[str, Check]) -> list[str]:
    return [name for name, check in all_.items() if not check.ok]


def test_hosts_that_are_fit_pass_with_as_many_ranks_on_each_as_were_asked_for() -> None:
    all_ = _found()
    assert _failed(all_) == []
    assert all_["nodes"].value == "n1, n2, n3"
    assert all_["ranks"].value == "1 on n1, 2 on n2, 1 on n3"


def test_a_host_that_cannot_be_used_is_told_in_the_words_of_a_start() -> None:
    all_ = _found(_host("n1"), problems={"n2": Problem("ssh says: no", "ssh-copy-id n2")})
    assert _failed(all_) == ["host n2"]
    assert (all_["host n2"].cause, all_["host n2"].fix) == ("ssh says: no", "type: ssh-copy-id n2")
    assert all_["nodes"].value == "n1"


def test_without_any_host_that_answers_nothing_else_is_told() -> None:
    request = request_of({"hosts": ["n1"]})
    (one,) = checks(HERE, request, {"n1": Problem("ssh says: no", "this")}, {}, None)
    assert one.name == "host n1"


def test_what_to_type_is_a_call_for_hosts() -> None:
    cut = _found(_host("n1"), _host("n2", unreached="no reply"))["address of controller"]
    assert cut.cause.startswith("n2 cannot reach 10.77.0.1")
    assert cut.fix == "idl.Cluster('ssh', ..., interface='eth0' (10.77.0.1))"
    slow = _found(world=_world(slowest=1e7))["links between nodes"]
    assert slow.fix.startswith("leave the node out: hosts=[...] without it")


def test_ranks_elsewhere_than_asked_for_are_told() -> None:
    all_ = _found(world=_world(hosts={"n1": 4}))
    assert _failed(all_) == ["ranks"]
    assert "over 3 nodes: 1, 2, 1" in all_["ranks"].cause
    assert "PRTE_MCA_rmaps_*" in all_["ranks"].fix


def test_another_mpiexec_and_its_worlds_of_size_1_have_one_fix() -> None:
    mpich = "HYDRA build details:\n Version: 5.0.2"
    all_ = _found(_host("n1", mpiexec=mpich), world=_world(size=1, hosts={"n1": 1}, links=[]))
    assert _failed(all_) == ["one MPI", "allreduce, all nodes", "ranks"]
    assert all_["one MPI"].fix == all_["allreduce, all nodes"].fix
