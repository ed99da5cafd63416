"""Looks at all hosts at once, before anything is started."""

from __future__ import annotations

import secrets
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from shlex import join
from typing import TYPE_CHECKING, Generic, TypeVar

import msgspec

from interactive_dl.cluster.examination._line import Listener
from interactive_dl.cluster.examination._sight import Sight
from interactive_dl.cluster.ssh._connection import Problem, explained, ssh_words
from interactive_dl.cluster.ssh._script import host_script
from interactive_dl.cluster.ssh.host import SIGN, TOKEN, Part, look_command
from interactive_dl.cluster.ssh.request import Request
from interactive_dl.errors import UnfitHostsError

if TYPE_CHECKING:
    from interactive_dl.cluster.examination._facts import NodeFacts

_AT_ONCE = 64
_LOOK_S = 30.0
_EXAMINE_S = 60.0

_Seen = TypeVar("_Seen", bound=Sight)


@dataclass(frozen=True)
class _Question(Generic[_Seen]):
    """What hosts are asked.

    Attributes:
        part: of the program on a host that answers.
        facts: what it answers with.
        timeout_s: how long it may take.
        environment: variables that it gets.
    """

    part: Part
    facts: type[_Seen]
    timeout_s: float
    environment: Mapping[str, str] = field(default_factory=dict)


def look_at(request: Request, address: str, ipython: Path) -> Mapping[str, Sight]:
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
    return {host: sight for host, sight in seen.items() if isinstance(sight, Sight)}


def ask_all(request: Request, address: str, ipython: Path) -> dict[str, Sight | Problem]:
    """What each host sees, or why it could not be asked."""
    return _ask(request, address, ipython, _Question("look", Sight, _LOOK_S))


def examine_all(
    request: Request, address: str, ipython: Path, environment: Mapping[str, str]
) -> dict[str, NodeFacts | Problem]:
    """And what it has; with variables of the engines."""
    from interactive_dl.cluster.examination._facts import NodeFacts

    question = _Question("examine", NodeFacts, _EXAMINE_S, environment)
    told = _ask(request, address, ipython, question)
    return {
        host: one if isinstance(one, Problem) else msgspec.structs.replace(one, node=host)
        for host, one in told.items()
    }


def _ask(
    request: Request, address: str, ipython: Path, question: _Question[_Seen]
) -> dict[str, _Seen | Problem]:
    token = secrets.token_hex(8)
    ipython.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.NamedTemporaryFile("w", prefix=".look-", dir=ipython) as mark,
        Listener(address, token) as listener,
        ThreadPoolExecutor(_AT_ONCE) as lookers,
    ):
        mark.write(token)
        mark.flush()
        words = look_command(question.part, Path(mark.name), address, listener.port)
        script = _script(request, words, {**question.environment, TOKEN: token})
        names = tuple(request.slots)
        told = lookers.map(lambda host: _look(host, request.ssh_options, script, question), names)
        return dict(zip(names, told, strict=True))


def found_wrong(
    seen: Mapping[str, Sight | Problem], address: str, ipython: Path
) -> dict[str, Problem]:
    """What is wrong with each host that cannot be used.

    Args:
        seen: what each host sees, or why it could not be asked.
        address: of this host.
        ipython: the folder that they must share.
    """
    problems = {host: one for host, one in seen.items() if isinstance(one, Problem)}
    answered = {host: one for host, one in seen.items() if isinstance(one, Sight)}
    for host, sight in answered.items():
        if sight.unreached:
            problems[host] = Problem(
                f"it does not reach this host at {address} ({sight.unreached})",
                "ip -br address, and then idl.Cluster('ssh', interface='eth0', ...) with the name"
                " of the network interface that leads to the hosts",
            )
        elif not sight.has_mark:
            problems[host] = Problem(
                f"it does not see {ipython}: keys and logs lie there",
                "export IPYTHONDIR=FOLDER, one of a file system that all hosts share",
            )
    return named_twice(answered) | problems


def named_twice(seen: Mapping[str, Sight]) -> dict[str, Problem]:
    """What is wrong with each host that is one before it, under another name."""
    problems, machines = dict[str, Problem](), dict[str, str]()
    for host, sight in seen.items():
        if (other := machines.setdefault(sight.machine, host)) != host:
            problems[host] = Problem(
                f"it is the same host as {other}, and is named once, with the number of engines",
                f"idl.Cluster('ssh', hosts=['{other}:2', ...])",
            )
    return problems


def _script(request: Request, words: Sequence[str], environment: Mapping[str, str]) -> str:
    return host_script(
        setup=request.setup,
        folder=Path.cwd(),
        interpreter=Path(sys.executable),
        environment=environment,
        last=f"exec {join(words)}",
    )


def _look(
    host: str, options: Sequence[str], script: str, question: _Question[_Seen]
) -> _Seen | Problem:
    """What a host sees, or why it could not be asked."""
    try:
        # As input: a command line could be read by everybody.
        done = subprocess.run(
            [*ssh_words(options), host, "bash -s"],
            input=script,
            capture_output=True,
            text=True,
            timeout=question.timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Problem(
            f"it said nothing for {question.timeout_s:g} s",
            f"ssh {host}, and look at the lines of setup=[...], and at what its shell does first",
        )
    lines = [line for line in done.stdout.splitlines() if line.startswith(SIGN)]
    if done.returncode == 0 and lines:
        return msgspec.json.decode(lines[-1].removeprefix(SIGN), type=question.facts)
    said = done.stderr or done.stdout
    return explained(host, done.returncode, said, sys.executable, str(Path.cwd()))
