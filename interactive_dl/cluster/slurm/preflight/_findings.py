"""What is to be made of what a job and its nodes saw: facts in, findings out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from interactive_dl.cluster._doctor_checks import Check
from interactive_dl.cluster._mpi_names import mpi_name
from interactive_dl.cluster.examination import _findings as findings
from interactive_dl.cluster.examination._facts import Here, NodeFacts
from interactive_dl.cluster.examination._findings import ONE_MPI, Asked
from interactive_dl.cluster.slurm import fitness, launchers
from interactive_dl.cluster.slurm.preflight._facts import JobFacts, Question

ASK_FOR_LESS = "see what was asked for: cluster.job_script(); what a site allows: sinfo, sacctmgr"


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
    seen, all_ = tuple(nodes.values()), _asked(asked)
    return (
        _all_nodes(asked, nodes, job),
        *((*findings.seen_from(here, seen, all_), _mpi(asked, seen)) if seen else ()),
        *(() if job is None else _job(asked, nodes, job)),
    )


def _asked(asked: Question) -> Asked:
    return Asked(
        where="slurm",
        starter=asked.launcher,
        ranks=(asked.engines // asked.nodes,) * asked.nodes,
        without="extra_directives=['--exclude=NODE']",
        spread="--ntasks and --nodelist to the request",
    )


def _job(asked: Question, nodes: Mapping[str, NodeFacts], job: JobFacts) -> tuple[Check, ...]:
    one_world = _choose(_fitting(nodes, job))
    return (
        _launcher(asked, job),
        *findings.ranks(_asked(asked), job.world, one_world),
        _plain(asked, nodes, job),
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


def _mpi(asked: Question, nodes: Sequence[NodeFacts]) -> Check:
    if launchers.launcher(asked.launcher).plug_in:
        return _mpi_for_slurm(asked.launcher, nodes)
    return findings.of_mpiexec(nodes)


def _mpi_for_slurm(asked: str, nodes: Sequence[NodeFacts]) -> Check:
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
            return Check(ONE_MPI, False, value, cause, _choose(fitting))
    return findings.same_mpi(nodes)


def _choose(names: Sequence[str]) -> str:
    listed = " or ".join(f"launcher={name!r}" for name in names)
    return f"idl.Cluster('slurm', ..., {listed or 'launcher=...'})"


def _launcher(asked: Question, job: JobFacts) -> Check:
    needed = launchers.launcher(asked.launcher).plug_in
    if not needed or (needed in job.plug_ins and not fitness.is_unloadable(job.world.problem)):
        return Check("launcher", True, asked.launcher)
    cause = f"no plug-in {needed} can be loaded on the first node; srun --mpi=list: {_listed(job)}"
    fix = f"{_choose([launchers.DEFAULT])}, or have the administrator install it"
    return Check("launcher", False, asked.launcher, cause, fix)


def _fitting(nodes: Mapping[str, NodeFacts], job: JobFacts) -> tuple[str, ...]:
    """Launchers that fit the MPI of the nodes, and that Slurm has a plug-in for."""
    found = [mpi_name(one.mpi) for one in nodes.values()]
    library = found[0] if found else None
    names = () if library is None else launchers.fitting(library.vendor)
    offered = ("", *job.plug_ins)
    return tuple(name for name in names if launchers.launcher(name).plug_in in offered)


def _listed(job: JobFacts) -> str:
    return ", ".join(job.plug_ins) or "none"


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
