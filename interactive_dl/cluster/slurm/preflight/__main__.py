"""``python -m interactive_dl.cluster.slurm.preflight {first,node} FOLDER QUESTION``, in the job."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from interactive_dl.cluster import _doctor_probes as probes
from interactive_dl.cluster.slurm import commands, preflight
from interactive_dl.cluster.slurm.preflight._facts import (
    Ended,
    Folder,
    JobFacts,
    Kind,
    NodeFacts,
    Question,
    ipv4_addresses,
)
from interactive_dl.cluster.slurm.preflight._line import Caller
from interactive_dl.cluster.slurm.script import SCRATCH

_CALL_S = 3.0
_NODES_S = 60
_RANKS_S = 90
_PROBE = (sys.executable, "-m", "interactive_dl.engine.probe")


def main(words: Sequence[str]) -> None:
    """Look, and answer."""
    part, path, encoded = words
    folder, question = Folder(Path(path)), msgspec.json.decode(encoded, type=Question)
    if part == "node":
        _answer(question, folder, "node", node(question, folder))
    else:
        _answer(question, folder, "job", first(question, path, encoded))


def node(question: Question, folder: Folder) -> NodeFacts:
    """What this node sees."""
    unreached, round_trip_s, ahead_s = "", 0.0, 0.0
    caller = Caller(question.address, question.port, question.token, _CALL_S)
    try:
        round_trip_s, ahead_s = caller.clock()
    except TimeoutError as error:
        unreached = str(error)
    caller.close()
    mpi = probes.ask("mpi", {})
    shm = shutil.disk_usage("/dev/shm").free if Path("/dev/shm").is_dir() else None
    return NodeFacts(
        node=os.environ.get("SLURMD_NODENAME") or socket.gethostname(),
        unreached=unreached,
        round_trip_s=round_trip_s,
        ahead_s=ahead_s,
        has_mark=folder.has_mark(question.token),
        python=".".join(map(str, sys.version_info[:3])),
        packages=probes.package_versions(),
        mpi=(mpi.facts or {}).get("library", ""),
        mpiexec=probes.mpiexec(os.environ).version,
        addresses=ipv4_addresses(),
        shm_free_bytes=shm,
    )


def first(question: Question, path: str, encoded: str) -> JobFacts:
    """Start programs on all nodes, and see what comes of them."""
    srun = ["srun", "--overlap", f"--nodes={question.nodes}"]
    on_each = [*srun, f"--ntasks={question.nodes}", "--ntasks-per-node=1", "--cpus-per-task=1"]
    look = [sys.executable, "-m", preflight.__name__, "node", path, encoded]
    told = JobFacts(
        nodes=_run([*on_each, *look], _NODES_S),
        world=_run([*question.start, *_PROBE, "nodes"], _RANKS_S),
        plain=_run([*srun, f"--ntasks={question.engines}", *_PROBE, "size"], _RANKS_S),
        plug_ins=commands.plug_ins(),
    )
    # Whoever gets the answer cancels the job.
    _run([*on_each, "find", os.environ[SCRATCH], "-mindepth", "1", "-delete"], _NODES_S)
    return told


def _run(words: Sequence[str], timeout_s: float) -> Ended:
    try:
        done = subprocess.run(
            words,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Ended((), f"no end within {timeout_s:g} s")
    lines = tuple(line for line in done.stdout.splitlines() if line.startswith("{"))
    if done.returncode == 0:
        return Ended(lines)
    said = " ".join((done.stderr or done.stdout).split())
    return Ended(lines, f"exit code {done.returncode}: {said[:600] or 'it printed nothing'}")


def _answer(question: Question, folder: Folder, kind: Kind, facts: msgspec.Struct) -> None:
    data = msgspec.json.encode(facts)
    folder.answer(kind, data)
    caller = Caller(question.address, question.port, question.token, _CALL_S)
    try:
        caller.bring(kind, data)
    except TimeoutError as error:
        print(f"The host of the notebook was not reached: {error}", file=sys.stderr)
    caller.close()


if __name__ == "__main__":
    main(sys.argv[1:])
