"""Slurm's own commands: sbatch, squeue, scancel, scontrol."""

from __future__ import annotations

import functools
import os
import re
import socket
import subprocess
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import psutil

from interactive_dl.cluster.slurm import jobs
from interactive_dl.errors import AllocationRefusedError, RequestError, SchedulerError

_TIMEOUT_S = 15.0
_SOON_S = 2.0
_SUBMIT_TIMEOUT_S = 60.0
_NO_SUCH_JOB = "Invalid job id"
# A hub's tokens, another cluster's keys, and the job that the notebook itself may run in.
_KEPT_BACK = ("JUPYTER", "JPY_", "CONFIGPROXY_", "IPP_", "SLURM_", "OMPI_", "PMIX_", "PRTE_")
# A user's defaults for what is typed by hand: they would hide jobs and nodes from us.
_OF_COMMANDS = ("SQUEUE_", "SINFO_", "SCANCEL_")
_DIRECTIVE = re.compile(r"^#SBATCH\s+(?:--([\w-]+)|-(\w))", re.MULTILINE)
_SHORT = {"A": "account", "C": "constraint", "J": "job-name", "p": "partition", "q": "qos"}
_SHORT |= {"G": "gpus", "k": "no-kill", "o": "output", "t": "time"}
# Of sbatch's variables most are called as the directive that they beat.
_BEATEN_BY = {
    "mem": ("SBATCH_MEM_PER_NODE", "SBATCH_MEM_PER_CPU", "SBATCH_MEM_PER_GPU"),
    "no-requeue": ("SBATCH_REQUEUE",),
    "time": ("SBATCH_TIMELIMIT",),
}
_NEVER = frozenset({"SBATCH_ARRAY_INX", "SBATCH_WAIT"})
_NUMBER = re.compile(r"(\d+)(?:;.*)?")
_CONTROLLER = re.compile(r"^SlurmctldHost\[0\]\s*=\s*([^\s(]+)(?:\((.+)\))?", re.MULTILINE)
_SLURMD_PORT = re.compile(r"^SlurmdPort\s*=\s*(\d+)", re.MULTILINE)
_NODE_ADDRESS = re.compile(r"\bNodeAddr=(\S+)")
_NODE_PORT = re.compile(r"\bPort=(\d+)")
# A line of its own; older versions of srun begin each with their name.
_PLUG_IN = re.compile(r"^(?:srun: |\s+)(\w+)$", re.MULTILINE)
_ANY_PORT = 9
KEEPER = "keeper"
"""Name of the step that cleans a job's nodes up in the end."""


def exported(variables: Mapping[str, str]) -> dict[str, str]:
    """The part of an environment that goes to a job: nothing of a hub's, nor of another job's."""
    return {
        name: value
        for name, value in variables.items()
        if name == "SLURM_CONF" or not name.startswith((*_KEPT_BACK, *_OF_COMMANDS))
    }


def _beating(script: str) -> frozenset[str]:
    """Variables of sbatch's that would beat a directive of a job script."""
    written = {long or _SHORT.get(short, "") for long, short in _DIRECTIVE.findall(script)}
    named = {f"SBATCH_{name.upper().replace('-', '_')}" for name in written}
    return _NEVER.union(named, *(_BEATEN_BY.get(name, ()) for name in written))


def submit(script: Path) -> int:
    """Hand a job script in; the job's number.

    Raises:
        AllocationRefusedError: Slurm does not take it, with its own words.
        SchedulerError: there is no sbatch, or no answer.
    """
    words = ["sbatch", "--parsable", str(script)]
    done = _run(words, _SUBMIT_TIMEOUT_S, without=_beating(script.read_text()))
    # A centre's own sbatch may greet, or give advice.
    numbers = [found for line in done.stdout.split("\n") if (found := _NUMBER.fullmatch(line))]
    if done.returncode != 0 or not numbers:
        raise AllocationRefusedError(
            f"Slurm refused the job. sbatch says: {_text(done)} What was handed in:"
            " cluster.job_script()"
        )
    return int(numbers[-1][1])


def cancel(job: int, *, kill: bool = False) -> None:
    """End a job, whatever it does; one that is over already is fine.

    Args:
        job: its number.
        kill: at once, without the grace that Slurm gives.

    Raises:
        SchedulerError: Slurm does not answer.
    """
    words = ["scancel", *(["--signal=KILL", "--full"] if kill else []), str(job)]
    done = _run(words, _TIMEOUT_S)
    if done.returncode != 0 and "invalid job id" not in done.stderr.lower() and not kill:
        raise SchedulerError(f"Job {job} was not cancelled. scancel says: {_text(done)}")


def end_steps(job: int, *, keep: str) -> None:
    """Kill all steps of a job but those with one name; the job goes on."""
    words = ["squeue", "--noheader", "--steps", f"--jobs={job}", "--format=%i|%j"]
    rows = (line.strip().partition("|") for line in _run(words, _TIMEOUT_S).stdout.splitlines())
    kept = {keep, "batch", "extern"}
    steps = [step for step, _, name in rows if name not in kept]
    if steps:  # nobody waits: a node that is lost makes that take long
        quiet = subprocess.DEVNULL
        subprocess.Popen(
            ["scancel", "--signal=KILL", *steps], stdin=quiet, stdout=quiet, stderr=quiet
        )


def listing(ids: Collection[int]) -> dict[int, jobs.Job]:
    """Those of the jobs that Slurm still lists, the finished included.

    Raises:
        SchedulerError: Slurm does not answer.
    """
    numbers = ",".join(map(str, sorted(ids)))
    words = ["squeue", "--noheader", "--states=all", f"--format={jobs.LISTING_FORMAT}"]
    done = _run([*words, f"--jobs={numbers}"], _TIMEOUT_S)
    if done.returncode != 0 and _NO_SUCH_JOB not in done.stderr:
        raise SchedulerError(f"Slurm does not answer. squeue says: {_text(done)}")
    return _with_nodes(jobs.parse(done.stdout, datetime.now()))


def preempted_s(job: int) -> float | None:
    """Seconds that are left of a job which makes room for another; None for all other jobs.

    Raises:
        SchedulerError: Slurm does not answer soon.
    """
    described = _run(["scontrol", "show", "job", str(job)], _SOON_S).stdout
    return jobs.preempted_s(described, datetime.now())


@functools.lru_cache(maxsize=100)
def node_names(listed: str) -> tuple[str, ...]:
    """Node names of Slurm's list, such as ``n[1-4]``.

    Raises:
        SchedulerError: Slurm does not say.
    """
    if not listed:
        return ()
    done = _run(["scontrol", "show", "hostnames", listed], _TIMEOUT_S)
    if not (names := tuple(done.stdout.split())):
        raise SchedulerError(f"Slurm does not say which nodes {listed} are: {_text(done)}")
    return names


def unfit_nodes(nodes: Collection[str]) -> dict[str, str]:
    """Nodes on which Slurm starts nothing any more, with its words for each."""
    words = ["sinfo", "--noheader", "--Node", f"--nodes={','.join(nodes)}"]
    done = _run([*words, f"--format={jobs.NODES_FORMAT}"], _TIMEOUT_S)
    return jobs.parse_nodes(done.stdout)


def plug_ins() -> tuple[str, ...]:
    """Names of the plug-ins through which srun starts ranks, as ``srun --mpi=list`` says.

    Raises:
        SchedulerError: there is no srun, or no answer.
    """
    done = _run(["srun", "--mpi=list"], _TIMEOUT_S)
    return tuple(_PLUG_IN.findall(done.stdout + done.stderr))


def slurmd_places(nodes: Collection[str]) -> dict[str, tuple[str, int]]:
    """Address and port of each node's slurmd; nodes that Slurm does not describe are left out."""
    if not (config := _run(["scontrol", "show", "config"], _TIMEOUT_S).stdout):
        return {}  # nor would Slurm describe any node, after as long a wait for each
    usual = _SLURMD_PORT.search(config)
    found = {}
    for node in nodes:
        described = _run(["scontrol", "show", "node", node], _TIMEOUT_S).stdout
        address = _NODE_ADDRESS.search(described)
        port = _NODE_PORT.search(described) or usual  # told where it is not the usual one
        if address is not None and port is not None:
            found[node] = (address[1], int(port[1]))
    return found


def _with_nodes(found: dict[int, jobs.Job]) -> dict[int, jobs.Job]:
    """Jobs, and which nodes of those that run are unfit."""
    names = {job.id: node_names(job.nodes) for job in found.values() if job.state == "RUNNING"}
    if not names:
        return found
    unfit = unfit_nodes([node for nodes in names.values() for node in nodes])
    for job, nodes in names.items():
        of_it = {node: words for node, words in unfit.items() if node in nodes}
        found[job] = replace(found[job], unfit=of_it)
    return found


def listen_address(interface: str | None) -> str:
    """IPv4 address of this host that compute nodes reach.

    Args:
        interface: its network interface; by default the one that leads to slurmctld.

    Raises:
        RequestError: there is no such interface.
        SchedulerError: Slurm does not say where its controller is, or no way leads there.
    """
    if interface is not None:
        return _address_of(interface)
    done = _run(["scontrol", "show", "config"], _TIMEOUT_S)
    if (found := _CONTROLLER.search(done.stdout)) is None:
        raise SchedulerError(f"Slurm does not say where its controller is: {_text(done)}")
    controller = found[2] or found[1]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((controller, _ANY_PORT))  # sends nothing
        except OSError as error:
            raise SchedulerError(
                "Controller and recorder listen where the way leads to Slurm's controller, but for"
                f" {controller} there is none: {error}. Type: idl.Cluster('slurm', ...,"
                " interface='eth0'), with the network interface that compute nodes reach: ip -br"
                " address"
            ) from error
        address: str = probe.getsockname()[0]
    return address


def _address_of(interface: str) -> str:
    known = {
        name: address.address
        for name, addresses in psutil.net_if_addrs().items()
        for address in addresses
        if address.family == socket.AF_INET
    }
    if interface not in known:
        raise RequestError(
            "Controller and recorder listen on one network interface of this host, but got"
            f" interface={interface!r}. There are: "
            + ", ".join(f"{name} ({address})" for name, address in known.items())
        )
    return known[interface]


def _run(
    words: Sequence[str], timeout_s: float, *, without: Collection[str] = ()
) -> subprocess.CompletedProcess[str]:
    environment = exported(os.environ)
    try:
        return subprocess.run(
            words,
            env={name: value for name, value in environment.items() if name not in without},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
            check=False,
        )
    except FileNotFoundError as error:
        raise SchedulerError(
            f"Slurm is spoken to with its own commands, but there is no {words[0]} in"
            f" {os.environ.get('PATH', '')}. On a login node, type: module load slurm"
        ) from error
    except OSError as error:
        raise SchedulerError(f"{words[0]} could not be started: {error}") from error
    except subprocess.TimeoutExpired as error:
        raise SchedulerError(
            f"Slurm does not answer: {words[0]} said nothing for {timeout_s:g} s."
        ) from error


def _text(done: subprocess.CompletedProcess[str]) -> str:
    return " ".join((done.stderr or done.stdout).split()) or f"nothing (code {done.returncode})"
