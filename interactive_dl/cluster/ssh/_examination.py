"""Before engines are started on hosts: each tells what it sees and has, and ranks are started."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path

from interactive_dl.cluster._description import Options
from interactive_dl.cluster._doctor import Report
from interactive_dl.cluster._places import Places
from interactive_dl.cluster.examination._facts import (
    PROBE,
    Ended,
    NodeFacts,
    ended,
    endless,
    here,
)
from interactive_dl.cluster.ssh import _findings
from interactive_dl.cluster.ssh._allocation import SSHAllocation
from interactive_dl.cluster.ssh._connection import Problem
from interactive_dl.cluster.ssh._looking import examine_all, named_twice
from interactive_dl.cluster.ssh.request import Request, request_of
from interactive_dl.cluster.ssh.steward._guards import Guards

_RANKS_S = 90.0


class _Look(SSHAllocation):
    """Hosts on which ranks that only look are started as a cluster's engines."""

    async def ranks(self, nodes: Mapping[str, NodeFacts]) -> Ended:
        """How they ended, on hosts that share files and reach this one."""
        self._check_path()
        self._facts = nodes
        script = self._write_script()
        guarded = ExitStack()
        guards = guarded.enter_context(Guards(self._places, self._request))
        try:
            if missing := await asyncio.to_thread(guards.unfit):
                return Ended((), f"nobody would look after engines on {', '.join(missing)}")
            command = guards.placed([*self._mpiexec(script), *PROBE, "nodes"], tuple(nodes))
            return await self._run(command, script)
        finally:
            await asyncio.to_thread(guarded.close)

    async def _run(self, command: list[str], script: Path) -> Ended:
        process = await asyncio.create_subprocess_exec(
            *command,
            env=self._starters_environment(script),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            output, errors = await asyncio.wait_for(process.communicate(), _RANKS_S)
        except TimeoutError:
            return endless(_RANKS_S)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        return ended(process.returncode or 0, output.decode(), errors.decode())


async def examine(ipython: Path, options: Options) -> Report:
    """Look at the hosts that a cluster of these options would have.

    Args:
        ipython: IPython's folder, in which clusters have theirs.
        options: of the cluster.

    Raises:
        RequestError: there is no such interface, or a path that MPI would split.
        SetupError: there is no ssh.
    """
    places = Places(f"preflight-{secrets.token_hex(3)}", ipython)
    request = request_of(options.request)
    address = SSHAllocation(places, options).address
    told = await asyncio.to_thread(examine_all, request, address, ipython, options.environment)
    nodes = {host: one for host, one in told.items() if isinstance(one, NodeFacts)}
    problems = {host: one for host, one in told.items() if isinstance(one, Problem)}
    problems |= named_twice(nodes)
    nodes = {host: one for host, one in nodes.items() if host not in problems}
    fit = {host: one for host, one in nodes.items() if one.has_mark and not one.unreached}
    narrowed = _only(request, fit)
    world = await _see(places, replace(options, request=asdict(narrowed)), fit) if fit else None
    return Report(_findings.checks(here(address, ipython), narrowed, problems, nodes, world))


async def _see(places: Places, options: Options, nodes: Mapping[str, NodeFacts]) -> Ended:
    places.create()
    try:
        return await _Look(places, options).ranks(nodes)
    finally:
        places.remove()


def _only(request: Request, nodes: Mapping[str, NodeFacts]) -> Request:
    """The same for some of its hosts."""
    slots = request.slots
    return replace(request, hosts=tuple(f"{host}:{slots[host]}" for host in nodes))
