"""What is asked of Slurm: nodes, engines on them, and a site's ways."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec

from interactive_dl.cluster._requests import converted
from interactive_dl.cluster.slurm import launchers
from interactive_dl.errors import RequestError

_WARN_MIN = 5.0
_ARRAY = re.compile(r"--array\b|-a")
_AtLeastOne = Annotated[int, msgspec.Meta(ge=1)]
_Positive = Annotated[float, msgspec.Meta(gt=0)]
_Word = Annotated[str, msgspec.Meta(pattern=r"^[^\s'\"\\]+$")]
_Line = Annotated[str, msgspec.Meta(pattern=r"^[^\n]+$")]
_Directive = Annotated[str, msgspec.Meta(pattern=r"^-[^\n]*$")]


@dataclass(frozen=True, kw_only=True)
class Request:
    """A request for nodes.

    Attributes:
        nodes: how many.
        engines_per_node: engines on each.
        cpus_per_engine: CPUs, and compute threads, of each engine.
        gpus_per_engine: GPUs of each engine.
        mem_gb: memory of each node in GB (10**9 bytes); None for the partition's default.
        walltime_min: minutes after which Slurm ends the job; None for the partition's default.
        warn_min: minutes before that at which trainings write a checkpoint and stop, and searches
            let go of the engines; 0 for never; by default 5, or half of a shorter ``walltime_min``.
        launcher: what starts the ranks of MPI, by name (``slurm.launchers``).
        restart: whether a world that has ended is started again, on the nodes that are left.
        partition: to run in; None for the default one, as in all that follow.
        account: to charge.
        qos: quality of service.
        constraint: features that the nodes must have.
        reservation: to run in.
        setup: lines of shell that run before the engines, such as ``module load cuda``.
        extra_directives: further words for sbatch, such as ``--exclusive``.
        omit_directives: names of directives that the site refuses, such as ``mem``.
        interface: network interface of controller, recorder and MPI, such as ``ib0``; by default
            the one that leads to Slurm, and for MPI any.
    """

    nodes: _AtLeastOne = 1
    engines_per_node: _AtLeastOne = 1
    cpus_per_engine: _AtLeastOne = 1
    gpus_per_engine: Annotated[int, msgspec.Meta(ge=0)] = 0
    mem_gb: _Positive | None = None
    walltime_min: _AtLeastOne | None = None
    warn_min: Annotated[float, msgspec.Meta(ge=0)] | None = None
    launcher: _Word = launchers.DEFAULT
    restart: bool = True
    partition: _Word | None = None
    account: _Word | None = None
    qos: _Word | None = None
    constraint: _Word | None = None
    reservation: _Word | None = None
    setup: tuple[_Line, ...] = ()
    extra_directives: tuple[_Directive, ...] = ()
    omit_directives: tuple[_Word, ...] = ()
    interface: _Word | None = None

    @property
    def engines(self) -> int:
        """All engines."""
        return self.nodes * self.engines_per_node

    @property
    def warn_s(self) -> int:
        """Seconds before the end at which Slurm warns; 0 for never."""
        if self.warn_min is not None:
            return round(60 * self.warn_min)
        half_min = _WARN_MIN if self.walltime_min is None else self.walltime_min / 2
        return round(60 * min(_WARN_MIN, half_min))


def request_of(given: Mapping[str, Any]) -> Request:
    """Check what was given and make a request of it.

    Raises:
        RequestError: an option is unknown, or a value makes no sense.
    """
    advice = 'What only your site knows goes into extra_directives=["--name=value"].'
    return _checked(converted(given, Request, "Slurm is asked", advice))


def _checked(request: Request) -> Request:
    launchers.launcher(request.launcher)
    if arrays := [words for words in request.extra_directives if _ARRAY.match(words)]:
        raise RequestError(
            f"A cluster's engines run in one job, not in an array of jobs, but got {arrays[0]!r}."
            " Leave it out, and ask for nodes=... and engines_per_node=..."
        )
    walltime_min, warn_min = request.walltime_min, request.warn_min
    if walltime_min is not None and warn_min is not None and warn_min >= walltime_min:
        raise RequestError(
            "A job warns some minutes before its end, after it has begun, but got"
            f" walltime_min={walltime_min}, warn_min={warn_min:g}. Leave warn_min out for"
            f" {min(_WARN_MIN, walltime_min / 2):g}."
        )
    return request
