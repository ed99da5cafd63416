"""Looks at all hosts at once, before anything is started."""

from __future__ import annotations

import secrets
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from shlex import join

import msgspec

from interactive_dl.cluster._doctor_checks import Check
from interactive_dl.cluster.slurm.preflight._line import Listener
from interactive_dl.cluster.ssh._connection import Problem, explained, ssh_words
from interactive_dl.cluster.ssh._script import host_script
from interactive_dl.cluster.ssh.host import SIGN, TOKEN, look_command
from interactive_dl.cluster.ssh.host._look import Facts
from interactive_dl.cluster.ssh.request import Request
from interactive_dl.errors import UnfitHostsError

_AT_ONCE = 64
_LOOK_S = 30.0


def look_at(request: Request, address: str, ipython: Path) -> Mapping[str, Facts]:
    """What each host sees, by its name.

    Args:
        request: which hosts, and how they are reached.
        address: IPv4 address of this host that they must reach.
        ipython: IPython's folder, which they must share.

    Raises:
        UnfitHostsError: what is wrong with which of them.
    """
    seen = ask_all(request, address, ipython)
    problems = found_wrong(seen, address, ipython)
    if problems:
        listed = "".join(f"\n    {host}: {why}" for host, why in problems.items())
        raise UnfitHostsError(
            "Engines run on hosts that ssh reaches without asking, and that share files with this"
            f" one, but {len(problems)} of {len(seen)} cannot be used:{listed}"
        )
    return {host: facts for host, facts in seen.items() if isinstance(facts, Facts)}


def report(request: Request, address: str, ipython: Path) -> tuple[Check, ...]:
    """The same as findings, one for each host."""
    seen = ask_all(request, address, ipython)
    problems = found_wrong(seen, address, ipython)
    fit = Check("", True, f"reaches this host at {address}, and shares its files")
    return tuple(
        replace(_failed(problems[host]) if host in problems else fit, name=f"host {host}")
        for host in seen
    )


def _failed(problem: Problem) -> Check:
    return Check("", False, "cannot be used", problem.cause, problem.fix)


def ask_all(request: Request, address: str, ipython: Path) -> dict[str, Facts | Problem]:
    """What each host sees, or why it could not be asked."""
    token = secrets.token_hex(8)
    ipython.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.NamedTemporaryFile("w", prefix=".look-", dir=ipython) as mark,
        Listener(address, token) as listener,
        ThreadPoolExecutor(_AT_ONCE) as lookers,
    ):
        mark.write(token)
        mark.flush()
        words = look_command(Path(mark.name), address, listener.port)
        script = _script(request, words, token)
        names = tuple(request.slots)
        told = lookers.map(lambda host: _look(host, request.ssh_options, script), names)
        return dict(zip(names, told, strict=True))


def found_wrong(
    seen: Mapping[str, Facts | Problem], address: str, ipython: Path
) -> dict[str, Problem]:
    """What is wrong with each host that cannot be used.

    Args:
        seen: what each host sees, or why it could not be asked.
        address: of this host.
        ipython: the folder that they must share.
    """
    problems, machines = dict[str, Problem](), dict[str, str]()
    for host, facts in seen.items():
        if isinstance(facts, Problem):
            problems[host] = facts
        elif facts.unreached:
            problems[host] = Problem(
                f"it does not reach this host at {address} ({facts.unreached})",
                "ip -br address, and then idl.Cluster('ssh', interface='eth0', ...) with the name"
                " of the network interface that leads to the hosts",
            )
        elif not facts.has_mark:
            problems[host] = Problem(
                f"it does not see {ipython}: keys and logs lie there",
                "export IPYTHONDIR=FOLDER, one of a file system that all hosts share",
            )
        elif facts.machine in machines:
            other = machines[facts.machine]
            problems[host] = Problem(
                f"it is the same host as {other}, and is named once, with the number of engines",
                f"idl.Cluster('ssh', hosts=['{other}:2', ...])",
            )
        else:
            machines[facts.machine] = host
    return problems


def _script(request: Request, words: Sequence[str], token: str) -> str:
    return host_script(
        setup=request.setup,
        folder=Path.cwd(),
        interpreter=Path(sys.executable),
        environment={TOKEN: token},
        last=f"exec {join(words)}",
    )


def _look(host: str, options: Sequence[str], script: str) -> Facts | Problem:
    """What a host sees, or why it could not be asked."""
    try:
        # As input: a command line could be read by everybody.
        done = subprocess.run(
            [*ssh_words(options), host, "bash -s"],
            input=script,
            capture_output=True,
            text=True,
            timeout=_LOOK_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Problem(
            f"it said nothing for {_LOOK_S:g} s",
            f"ssh {host}, and look at the lines of setup=[...], and at what its shell does first",
        )
    lines = [line for line in done.stdout.splitlines() if line.startswith(SIGN)]
    if done.returncode == 0 and lines:
        return msgspec.json.decode(lines[-1].removeprefix(SIGN), type=Facts)
    said = done.stderr or done.stdout
    return explained(host, done.returncode, said, sys.executable, str(Path.cwd()))
