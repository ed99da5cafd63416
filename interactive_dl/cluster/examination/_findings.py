"""What is to be made of what machines saw: facts in, findings out."""

from __future__ import annotations

import ipaddress
import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from interactive_dl.cluster import _doctor_checks as doctor
from interactive_dl.cluster._doctor_checks import Check
from interactive_dl.cluster._doctor_probes import Answer
from interactive_dl.cluster._mpi_names import mpi_name
from interactive_dl.cluster.examination._facts import Ended, Here, NodeFacts

ONE_MPI = "one MPI"
OWN_MPI = "put the environment's own mpiexec first in PATH (setup=[...] must not load another MPI)"
_SKEW_S = 0.5
_SLOW = 4.0
_SHM_BYTES = 128 * 2**20


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What is asked of nodes, and what to type where they do not do it.

    Attributes:
        where: the kind of allocation, as ``idl.Cluster`` has it.
        starter: what starts ranks, by name.
        ranks: how many each node is to have.
        without: how a node is left out.
        spread: what keeps ranks from their nodes, and is to be left out.
    """

    where: str
    starter: str
    ranks: Sequence[int]
    without: str
    spread: str

    def option(self, option: str) -> str:
        """The call with one more option."""
        return f"idl.Cluster({self.where!r}, ..., {option})"


def seen_from(here: Here, nodes: Sequence[NodeFacts], asked: Asked) -> tuple[Check, ...]:
    """What nodes see of the host of the notebook, and have.

    Args:
        here: that host.
        nodes: at least one.
        asked: of them.
    """
    return (
        _reachable(here, nodes, asked),
        _clocks(nodes),
        _folder(here, nodes),
        _versions(here, nodes),
        _shared_memory(nodes),
    )


def _reachable(here: Here, nodes: Sequence[NodeFacts], asked: Asked) -> Check:
    name = "address of controller"
    if not (cut := [one for one in nodes if one.unreached]):
        slowest = max(nodes, key=lambda one: one.round_trip_s)
        trip = f"{slowest.round_trip_s * 1e3:.2g} ms from {slowest.node} and back"
        return Check(name, True, f"{here.address} on {here.host}, {trip}")
    names = ", ".join(one.node for one in cut)
    if ipaddress.ip_address(here.address).is_loopback:
        cause = (
            f"controller and recorder would listen on {here.address}, which on {names} is the node"
            " itself: engines would start, and never register"
        )
    else:
        cause = f"{names} cannot reach {here.address}: {cut[0].unreached}; a firewall, or no route"
    near = _same_network(here.addresses, cut[0].addresses)
    known = near or {
        name: address
        for name, address in here.addresses.items()
        if not ipaddress.ip_address(address).is_loopback
    }
    listed = " or ".join(f"interface={name!r} ({address})" for name, address in known.items())
    fix = asked.option(listed or "interface=...")
    return Check(name, False, f"{here.address} on {here.host}", cause, fix)


def _same_network(ours: Mapping[str, str], theirs: Mapping[str, str]) -> dict[str, str]:
    """Of our interfaces, those whose address begins as one of theirs does, to 16 bits."""
    near = {
        ipaddress.ip_network(f"{address}/16", strict=False)
        for address in theirs.values()
        if not ipaddress.ip_address(address).is_loopback
    }
    return {
        name: address
        for name, address in ours.items()
        if any(ipaddress.ip_address(address) in network for network in near)
    }


def _clocks(nodes: Sequence[NodeFacts]) -> Check:
    name = "clocks"
    reached = [one for one in nodes if not one.unreached]
    if not reached:
        return Check(name, True, "not compared: no node was reached")
    worst = max(reached, key=lambda one: abs(one.ahead_s))
    value = f"{worst.node} is {abs(worst.ahead_s):.3g} s {'ahead' if worst.ahead_s > 0 else 'late'}"
    if abs(worst.ahead_s) <= _SKEW_S + worst.round_trip_s:
        return Check(name, True, f"at most {abs(worst.ahead_s):.2g} s apart ({worst.node})")
    cause = "times in journals and plots would be out of order"
    return Check(name, False, value, cause, f"have the clock of {worst.node} set: chronyc tracking")


def _folder(here: Here, nodes: Sequence[NodeFacts]) -> Check:
    if not (blind := [one.node for one in nodes if not one.has_mark]):
        return Check("shared folder", True, here.folder)
    cause = f"{', '.join(blind)} do not see it: keys, logs and journals would not be found there"
    fix = "set IPYTHONDIR to a folder of a file system that all nodes mount"
    return Check("shared folder", False, here.folder, cause, fix)


def _versions(here: Here, nodes: Sequence[NodeFacts]) -> Check:
    ours = {"python": here.python, **here.packages}
    differing = [
        f"{one.node} has {name} {theirs.get(name, 'not at all')}"
        for one in nodes
        for theirs in ({"python": one.python, **one.packages},)
        for name, version in ours.items()
        if theirs.get(name) != version
    ]
    value = f"Python {here.python}, {len(here.packages)} packages"
    if not differing:
        return Check("versions", True, f"{value}, the same everywhere")
    cause = f"{'; '.join(differing[:4])}; here: {ours}"
    return Check("versions", False, value, cause, "use one environment, on a shared file system")


def _shared_memory(nodes: Sequence[NodeFacts]) -> Check:
    least = min(nodes, key=lambda one: one.shm_free_bytes or 0)
    free = least.shm_free_bytes or 0
    value = f"at least {free / 2**20:.0f} MB free ({least.node})"
    if free >= _SHM_BYTES:
        return Check("/dev/shm", True, value)
    cause = "ranks of one node exchange data through it"
    return Check("/dev/shm", False, value, cause, "remove what killed programs have left there")


def of_mpiexec(nodes: Sequence[NodeFacts]) -> Check:
    """Whether mpiexec and mpi4py are of one MPI, the same on all nodes."""
    for one in nodes:
        library, starter = mpi_name(one.mpi), mpi_name(one.mpiexec)
        if library is None or starter is None or library != starter:
            value = f"{one.node}: {library or 'none'} and {starter or 'none'}"
            cause = (
                f"on {one.node} mpi4py loads {library or 'no MPI'}, but mpiexec is of"
                f" {starter or 'none that is known'}: each rank would be alone in a world of size 1"
            )
            return Check(ONE_MPI, False, value, cause, OWN_MPI)
    return same_mpi(nodes)


def same_mpi(nodes: Sequence[NodeFacts]) -> Check:
    """Whether all nodes have the same MPI, each by itself a fit one."""
    if len(found := {str(mpi_name(one.mpi)) for one in nodes}) > 1:
        value = " and ".join(sorted(found))
        return Check(ONE_MPI, False, value, "nodes have different MPIs", OWN_MPI)
    return Check(ONE_MPI, True, f"{found.pop()} on all nodes")


def ranks(asked: Asked, world: Ended, one_world: str) -> tuple[Check, ...]:
    """What became of ranks that were started as a cluster's.

    Args:
        asked: of the nodes.
        world: how they ended.
        one_world: what to type where each is alone.
    """
    facts: dict[str, Any] | None = json.loads(world.lines[0]) if world.lines else None
    wanted = sum(asked.ranks)
    answer = Answer(facts, world.problem or "it printed nothing")
    reduced = doctor.allreduce("all nodes", answer, wanted)
    if facts is None:
        fix = "look at what its command says; limit MPI to the nodes' network: interface=..."
        return (Check(reduced.name, False, reduced.value, reduced.cause, fix),)
    if facts["size"] != wanted:
        cause = (
            f"{asked.starter} started {wanted} ranks, but each is alone in a world of size"
            f" {facts['size']}: it and the library are of two MPIs"
        )
        reduced = Check(reduced.name, False, reduced.value, cause, one_world)
    return (reduced, _spread(facts, asked), _links(facts, asked))


def _spread(facts: Mapping[str, Any], asked: Asked) -> Check:
    hosts: Mapping[str, int] = facts["hosts"]
    value = ", ".join(f"{count} on {host}" for host, count in hosts.items())
    if sorted(hosts.values()) == sorted(asked.ranks):
        return Check("ranks", True, value)
    nodes, wanted = len(asked.ranks), ", ".join(map(str, asked.ranks))
    cause = f"{sum(asked.ranks)} ranks were to be spread over {nodes} nodes: {wanted}"
    return Check("ranks", False, value, cause, f"leave {asked.spread}")


def _links(facts: Mapping[str, Any], asked: Asked) -> Check:
    name = "links between nodes"
    links: Sequence[Mapping[str, Any]] = facts["links"]
    if not links:
        return Check(name, True, "one node only")
    slow = min(links, key=lambda one: one["bytes_per_s"])
    late = max(links, key=lambda one: one["latency_s"])
    value = (
        f"{late['latency_s'] * 1e6:.0f} us at most ({'-'.join(late['nodes'])}),"
        f" {slow['bytes_per_s'] / 1e9:.2g} GB/s at least ({'-'.join(slow['nodes'])})"
    )
    usual = statistics.median(one["bytes_per_s"] for one in links)
    if slow["bytes_per_s"] * _SLOW >= usual:
        return Check(name, True, value)
    cause = f"{'-'.join(slow['nodes'])} is {usual / slow['bytes_per_s']:.0f} times slower than most"
    fix = f"leave the node out: {asked.without}, and tell the administrator"
    return Check(name, False, value, cause, fix)
