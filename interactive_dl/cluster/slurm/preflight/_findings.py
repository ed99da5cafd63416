"""What is to be made of what the nodes saw: facts in, findings out."""

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
from interactive_dl.cluster.slurm import fitness, launchers
from interactive_dl.cluster.slurm.preflight._facts import Ended, JobFacts, NodeFacts, Question

ASK_FOR_LESS = "see what was asked for: cluster.job_script(); what a site allows: sinfo, sacctmgr"
_SKEW_S = 0.5
_SLOW = 4.0
_SHM_BYTES = 128 * 2**20
_OWN_MPI = "put the environment's own mpiexec first in PATH (setup=[...] must not load another MPI)"


@dataclass(frozen=True)
class Here:
    """The host of the notebook.

    Attributes:
        host: its name.
        address: that controller and recorder would listen on.
        folder: that the nodes should see.
        python, packages, addresses: as of a node.
    """

    host: str
    address: str
    folder: str
    python: str
    packages: Mapping[str, str]
    addresses: Mapping[str, str]


def checks(
    here: Here, asked: Question, nodes: Mapping[str, NodeFacts], job: JobFacts | None, ended: str
) -> tuple[Check, ...]:
    """All findings.

    Args:
        here: the host of the notebook.
        asked: what the job was asked.
        nodes: what each node saw, by name.
        job: what its first node saw; None where nothing came.
        ended: how the job ended, where it did.
    """
    if job is None and not nodes:
        return (_silent_job(here, ended),)
    seen = tuple(nodes.values())
    return (
        _all_nodes(asked, nodes, job),
        *((*_seen_from(here, seen), _mpi(asked, seen)) if seen else ()),
        *(() if job is None else (_launcher(asked, job), *_ranks(asked, nodes, job))),
    )


def _silent_job(here: Here, ended: str) -> Check:
    cause = (
        f"nothing came from any node, neither through the network nor through {here.folder}. The"
        f" job: {ended or 'runs on'}"
    )
    fix = (
        "keep IPython's folder ($IPYTHONDIR) and this Python environment on a file system that the"
        " nodes mount, and look at the lines of setup=[...]"
    )
    return Check("job", False, "no answer", cause, fix)


def _all_nodes(asked: Question, nodes: Mapping[str, NodeFacts], job: JobFacts | None) -> Check:
    value = ", ".join(nodes) or "none"
    if len(nodes) == asked.nodes:
        return Check("nodes", True, value)
    why = "" if job is None else job.nodes.problem
    cause = f"{len(nodes)} of {asked.nodes} nodes answered. srun says: {why or 'nothing'}"
    fix = "see whether this Python environment is there on every node: srun --nodes=N ls PATH"
    return Check("nodes", False, value, cause, fix)


def _seen_from(here: Here, nodes: Sequence[NodeFacts]) -> tuple[Check, ...]:
    return (
        _reachable(here, nodes),
        _clocks(nodes),
        _folder(here, nodes),
        _versions(here, nodes),
        _shared_memory(nodes),
    )


def _reachable(here: Here, nodes: Sequence[NodeFacts]) -> Check:
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
    fix = f"idl.Cluster('slurm', ..., {listed or 'interface=...'})"
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


def _mpi(asked: Question, nodes: Sequence[NodeFacts]) -> Check:
    name = "one MPI"
    if launchers.launcher(asked.launcher).plug_in:
        return _mpi_for_slurm(name, asked.launcher, nodes)
    for one in nodes:
        library, starter = mpi_name(one.mpi), mpi_name(one.mpiexec)
        if library is None or starter is None or library != starter:
            value = f"{one.node}: {library or 'none'} and {starter or 'none'}"
            cause = (
                f"on {one.node} mpi4py loads {library or 'no MPI'}, but mpiexec is of"
                f" {starter or 'none that is known'}: each rank would be alone in a world of size 1"
            )
            return Check(name, False, value, cause, _OWN_MPI)
    return _same_mpi(name, nodes)


def _mpi_for_slurm(name: str, asked: str, nodes: Sequence[NodeFacts]) -> Check:
    """Whether ranks are of the MPI that Slurm's plug-in makes one world of."""
    needed = launchers.launcher(asked).mpi
    for one in nodes:
        library = mpi_name(one.mpi)
        if library is None or library.vendor != needed:
            value = f"{one.node}: {library or 'none'}"
            cause = (
                f"{asked} makes one world of ranks of {needed}, but on {one.node} mpi4py loads"
                f" {library or 'no MPI'}: each rank would be alone in a world of size 1"
            )
            fitting = () if library is None else launchers.fitting(library.vendor)
            return Check(name, False, value, cause, _choose(fitting))
    return _same_mpi(name, nodes)


def _choose(names: Sequence[str]) -> str:
    listed = " or ".join(f"launcher={name!r}" for name in names)
    return f"idl.Cluster('slurm', ..., {listed or 'launcher=...'})"


def _same_mpi(name: str, nodes: Sequence[NodeFacts]) -> Check:
    if len(found := {str(mpi_name(one.mpi)) for one in nodes}) > 1:
        value = " and ".join(sorted(found))
        return Check(name, False, value, "nodes have different MPIs", _OWN_MPI)
    return Check(name, True, f"{found.pop()} on all nodes")


def _launcher(asked: Question, job: JobFacts) -> Check:
    needed = launchers.launcher(asked.launcher).plug_in
    if not needed or (needed in job.plug_ins and not fitness.is_unloadable(job.world.problem)):
        return Check("launcher", True, asked.launcher)
    cause = f"no plug-in {needed} can be loaded on the first node; srun --mpi=list: {_listed(job)}"
    fix = f"{_choose([launchers.DEFAULT])}, or have the administrator install it"
    return Check("launcher", False, asked.launcher, cause, fix)


def _ranks(asked: Question, nodes: Mapping[str, NodeFacts], job: JobFacts) -> tuple[Check, ...]:
    facts = _first(job.world)
    answer = Answer(facts, job.world.problem or "it printed nothing")
    world = doctor.allreduce("all nodes", answer, asked.engines)
    plain = _plain(asked, nodes, job)
    if facts is None:
        fix = "look at what its command says; limit MPI to the nodes' network: interface=..."
        return (Check(world.name, False, world.value, world.cause, fix), plain)
    if facts["size"] != asked.engines:
        cause = (
            f"{asked.launcher} started {asked.engines} ranks, but each is alone in a world of size"
            f" {facts['size']}: it and the library are of two MPIs"
        )
        fix = _choose(_fitting(nodes, job))
        world = Check(world.name, False, world.value, cause, fix)
    return (world, _spread(asked, facts), _links(facts), plain)


def _fitting(nodes: Mapping[str, NodeFacts], job: JobFacts) -> tuple[str, ...]:
    """Launchers that fit the MPI of the nodes, and that Slurm has a plug-in for."""
    found = [mpi_name(one.mpi) for one in nodes.values()]
    library = found[0] if found else None
    names = () if library is None else launchers.fitting(library.vendor)
    offered = ("", *job.plug_ins)
    return tuple(name for name in names if launchers.launcher(name).plug_in in offered)


def _listed(job: JobFacts) -> str:
    return ", ".join(job.plug_ins) or "none"


def _first(ended: Ended) -> dict[str, Any] | None:
    found: dict[str, Any] | None = json.loads(ended.lines[0]) if ended.lines else None
    return found


def _spread(asked: Question, facts: Mapping[str, Any]) -> Check:
    hosts: Mapping[str, int] = facts["hosts"]
    value = ", ".join(f"{count} on {host}" for host, count in hosts.items())
    if len(hosts) == asked.nodes and len(set(hosts.values())) == 1:
        return Check("ranks", True, value)
    cause = f"{asked.engines} ranks were to be spread evenly over {asked.nodes} nodes"
    return Check("ranks", False, value, cause, "leave --ntasks and --nodelist to the request")


def _links(facts: Mapping[str, Any]) -> Check:
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
    fix = "leave the node out: extra_directives=['--exclude=NODE'], and tell the administrator"
    return Check(name, False, value, cause, fix)


def _plain(asked: Question, nodes: Mapping[str, NodeFacts], job: JobFacts) -> Check:
    """No failure: a launcher starts the engines. But who types srun himself should know."""
    types = f"srun knows {_listed(job)}"
    sizes = [json.loads(line)["size"] for line in job.plain.lines]
    if not sizes:
        said = f"ranks of a plain srun fail: {job.plain.problem[:100]}"
    elif set(sizes) == {asked.engines}:
        said = "a plain srun starts one world, too"
    else:
        needed = " or ".join(_fitting(nodes, job)) or "another launcher"
        said = f"a plain srun starts {len(sizes)} worlds of size {max(sizes)}: {needed} is needed"
    return Check("srun and MPI", True, f"{said} ({types})")
