"""What is to be made of what hosts saw: facts in, findings out."""

from __future__ import annotations

from collections.abc import Mapping

from interactive_dl.cluster._doctor_checks import Check
from interactive_dl.cluster.examination import _findings as findings
from interactive_dl.cluster.examination._facts import Ended, Here, NodeFacts
from interactive_dl.cluster.examination._findings import OWN_MPI, Asked
from interactive_dl.cluster.ssh._connection import Problem
from interactive_dl.cluster.ssh.request import Request


def checks(
    here: Here,
    request: Request,
    problems: Mapping[str, Problem],
    nodes: Mapping[str, NodeFacts],
    world: Ended | None,
) -> tuple[Check, ...]:
    """All findings.

    Args:
        here: the host of the notebook.
        request: for those hosts on which ranks were started.
        problems: why other hosts cannot be used, by name.
        nodes: what hosts saw, by name.
        world: how the ranks ended; None where there were none.
    """
    asked = Asked(
        where="ssh",
        starter="mpiexec",
        ranks=tuple(request.slots.values()),
        without="hosts=[...] without it",
        spread="PRTE_MCA_rmaps_* out of environment={...}",
    )
    seen = tuple(nodes.values())
    return (
        *(_unusable(host, problem) for host, problem in problems.items()),
        *((Check("nodes", True, ", ".join(nodes)),) if seen else ()),
        *((*findings.seen_from(here, seen, asked), findings.of_mpiexec(seen)) if seen else ()),
        *(findings.ranks(asked, world, OWN_MPI) if world else ()),
    )


def _unusable(host: str, problem: Problem) -> Check:
    return Check(f"host {host}", False, "cannot be used", problem.cause, f"type: {problem.fix}")
