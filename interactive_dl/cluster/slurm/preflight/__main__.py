"""``python -m interactive_dl.cluster.slurm.preflight {first,node} FOLDER QUESTION``, in the job."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from interactive_dl.cluster.examination._facts import (
    PROBE,
    Ended,
    NodeFacts,
    ended,
    endless,
    node_facts,
)
from interactive_dl.cluster.examination._line import Caller, Kind
from interactive_dl.cluster.examination._sight import Target
from interactive_dl.cluster.slurm import commands, preflight
from interactive_dl.cluster.slurm.preflight._facts import Folder, JobFacts, Question
from interactive_dl.cluster.slurm.script import SCRATCH

_CALL_S = 3.0
_NODES_S = 60
_RANKS_S = 90


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
    return node_facts(
        os.environ.get("SLURMD_NODENAME") or socket.gethostname(),
        Target(folder.mark, question.address, question.port, question.token),
    )


def first(question: Question, path: str, encoded: str) -> JobFacts:
    """Start programs on all nodes, and see what comes of them."""
    srun = ["srun", "--overlap", f"--nodes={question.nodes}"]
    on_each = [*srun, f"--ntasks={question.nodes}", "--ntasks-per-node=1", "--cpus-per-task=1"]
    look = [sys.executable, "-m", preflight.__name__, "node", path, encoded]
    told = JobFacts(
        nodes=_run([*on_each, *look], _NODES_S),
        world=_run([*question.start, *PROBE, "nodes"], _RANKS_S),
        plain=_run([*srun, f"--ntasks={question.engines}", *PROBE, "size"], _RANKS_S),
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
        return endless(timeout_s)
    return ended(done.returncode, done.stdout, done.stderr)


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
