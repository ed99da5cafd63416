"""What may happen to a node of a virtual centre, for tests and benchmarks."""

from __future__ import annotations

import subprocess

import interactive_dl as idl
from interactive_dl.telemetry.run import Run

_ENGINE = "interactive_dl.engine"


def kill(cluster: idl.Cluster, engine: int) -> None:
    """End an engine, from its own node."""
    found = next(one for one in cluster.engines if one.id == engine)
    _on(found.host, "kill", "-KILL", str(found.pid))


def drain(node: str) -> None:
    """Have Slurm start nothing more on a node; what runs there goes on."""
    _run("scontrol", "update", f"nodename={node}", "state=drain", "reason=drill")


def undrain(node: str) -> None:
    """Have Slurm use a node again."""
    _run("scontrol", "update", f"nodename={node}", "state=resume")


def end_in(cluster: idl.Cluster, seconds: int) -> None:
    """Have Slurm end the job of a cluster sooner or later than was asked for."""
    (job,) = _run("squeue", "--noheader", f"--name={cluster.id}", "--format=%i").split()
    _run("scontrol", "update", f"jobid={job}", f"endtime=now+{seconds}seconds")


def let_jobs_make_room() -> None:
    """Those with the quality of service ``yielding``, after some seconds, for ``urgent`` ones."""
    accounting("add qos yielding set GraceTime=5")
    accounting("add qos urgent set Preempt=yielding")
    accounting("modify user root set qos+=yielding,urgent")


def displace(node: str) -> None:
    """Hand in an urgent job that wants all of a node, for a moment."""
    words = ["--qos=urgent", f"--nodelist={node}", "--exclusive", "--output=/dev/null"]
    _run("sbatch", *words, "--wrap=true")


def accounting(words: str) -> None:
    """Change who may use what."""
    _run("sacctmgr", "--immediate", "--quiet", *words.split())


def orphans(node: str) -> list[str]:
    """Processes of engines on a node: a line of ``ps`` each.

    A node that Slurm does not use yet counts as having one.
    """
    try:
        shown = _on(node, "ps", "-e", "-o", "pid=,args=")
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        return [str(error)]
    return [line for line in shown.splitlines() if _ENGINE in line]


def sweep(node: str) -> None:
    """Remove what a job left in memory on a node that Slurm had given up: when the node is back,
    Slurm kills what it finds of the job there without a word.
    """
    _on(node, "sh", "-c", "rm -rf /dev/shm/interactive_dl-*")


def epochs_since_it_began(run: Run) -> int:
    """Epochs that a run has trained, those before its checkpoint left out."""
    started = run.history.started
    return run.history.epoch - started.first_epoch if started is not None else 0


def _on(node: str, *words: str) -> str:
    return _run("srun", f"--nodelist={node}", "--overlap", "--immediate=5", *words)


def _run(*words: str) -> str:
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True, timeout=15)
    return done.stdout
