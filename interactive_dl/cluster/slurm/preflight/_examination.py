"""The job of a preflight, from the host of the notebook."""

from __future__ import annotations

import asyncio
import functools
import secrets
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from interactive_dl.cluster._description import Description, Options
from interactive_dl.cluster._doctor import Report
from interactive_dl.cluster._doctor_checks import Check
from interactive_dl.cluster._places import Places
from interactive_dl.cluster._values import State
from interactive_dl.cluster.examination._facts import here
from interactive_dl.cluster.examination._line import Listener
from interactive_dl.cluster.slurm import jobs
from interactive_dl.cluster.slurm._allocation import SlurmAllocation
from interactive_dl.cluster.slurm.launchers import launcher
from interactive_dl.cluster.slurm.preflight import _findings
from interactive_dl.cluster.slurm.preflight._facts import (
    Folder,
    JobFacts,
    Question,
    by_node,
)
from interactive_dl.errors import AllocationError
from interactive_dl.telemetry import exits

_POLL_S = 0.1
_TIMEOUT_S = 300.0
_SHOWN_LINES = 8


class _Look(SlurmAllocation):
    """An allocation in which the nodes are looked at."""

    question: Question

    @functools.cached_property
    def start(self) -> tuple[str, ...]:
        """The command that starts ranks of MPI as a cluster would."""
        return launcher(self._request.launcher).command(self._ranks)

    def _command(self) -> Sequence[str]:
        encoded = msgspec.json.encode(self.question).decode()
        module = __name__.rpartition(".")[0]
        return [sys.executable, "-m", module, "first", str(self._places.folder), encoded]

    def _ended(self, job: jobs.Job) -> State:
        ended = jobs.ended_state(job)
        lines = "".join(f"\n    {line}" for line in exits.last_lines(self._log, _SHOWN_LINES))
        return State(ended.name, f"{ended.reason}{lines}")


async def examine(ipython: Path, options: Options) -> Report:
    """Ask for the nodes that a cluster of these options would have, and look at them.

    Args:
        ipython: IPython's folder, in which clusters have theirs.
        options: of the cluster.

    Raises:
        AllocationRefusedError: sbatch does not take the job.
        SchedulerError: Slurm does not answer.
    """
    token = secrets.token_hex(8)
    places = Places(f"preflight-{token[:6]}", ipython)
    look = _Look(places, options)
    places.create()
    try:
        with Listener(look.address, token) as listener:
            look.question = Question(
                look.address,
                listener.port,
                token,
                options.request["nodes"],
                options.engines,
                options.request["launcher"],
                look.start,
            )
            return await _see(look, listener, Folder(places.folder), options, places)
    finally:
        await look.end()
        look.let_go()
        places.remove()


async def _see(
    look: _Look, listener: Listener, folder: Folder, options: Options, places: Places
) -> Report:
    folder.ask(look.question)
    host = socket.gethostname()
    described = Description(places.cluster_id, host, options, time.time())
    described.write(places.description)
    (await look.start_engines(None, described)).write(places.description)
    try:
        await look.await_granted()
    except AllocationError as error:
        # One that failed at once may have done so before anybody saw it run.
        if look.outcome is None or look.outcome.name != "failed":
            return Report((Check("job", False, "never ran", str(error), _findings.ASK_FOR_LESS),))
    until_s = time.monotonic() + _TIMEOUT_S
    while not (job := [*listener.answers("job"), *folder.answers("job")]):
        if look.is_over() or time.monotonic() > until_s:
            break
        await asyncio.sleep(_POLL_S)
    seen_from = here(look.address, places.folder)
    nodes = by_node([*folder.answers("node"), *listener.answers("node")])
    told = msgspec.json.decode(job[0], type=JobFacts) if job else None
    ended = "" if look.outcome is None else look.outcome.reason
    return Report(_findings.checks(seen_from, look.question, nodes, told, ended))
