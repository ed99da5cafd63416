"""``idl replay`` and ``idl export``: a run trained again, here or by a batch script."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from interactive_dl.cluster.environment import mpi_environment, mpiexec_arguments
from interactive_dl.errors import ReplayError
from interactive_dl.telemetry import journal, replay
from interactive_dl.telemetry.journal import RUNS_VARIABLE
from interactive_dl.telemetry.replay import Difference, Score

_PROGRAM, _JOURNAL, _SCRIPT = "program.py", "journal.jsonl", "run.sh"


def run(path: Path) -> Difference | None:
    """Train a run again, on as many ranks of this machine, and compare the curves.

    The program runs in the current folder; it reads and writes no checkpoint.

    Args:
        path: of the journal.

    Returns:
        Where the curves part; None if they are the same bit for bit.

    Raises:
        JournalError: the file is no journal.
        ReplayError: the run cannot be replayed, or its program failed.
    """
    path = path.absolute()
    score = replay.read(path)
    with tempfile.TemporaryDirectory(prefix="interactive_dl-replay-") as folder:
        program = Path(folder) / _PROGRAM
        program.write_text(program_text(score))
        runs = Path(folder) / "runs"
        environment = {
            **os.environ,
            **mpi_environment(score.ranks),
            **score.started.environment,
            replay.VARIABLE: str(path),
            RUNS_VARIABLE: str(runs),
        }
        start = mpiexec_arguments(score.ranks, fault_tolerant=False)
        done = subprocess.run([*start, sys.executable, str(program)], env=environment, check=False)
        if done.returncode:
            raise ReplayError(
                f"A replayed program runs to its end, but it ended with exit code"
                f" {done.returncode}; its output is above. Type: idl export {path} to see it."
            )
        return _compared(path, runs, score)


def export(path: Path, folder: Path) -> Path:
    """Write what a batch job needs to train a run again: program, journal, script.

    Returns:
        The script, for ``sbatch`` or ``bash``.

    Raises:
        JournalError: the file is no journal.
        ReplayError: the run cannot be replayed.
        FileExistsError: the folder is there already.
    """
    score = replay.read(path)
    folder.mkdir(parents=True)
    (folder / _PROGRAM).write_text(program_text(score))
    shutil.copy(path, folder / _JOURNAL)
    script = folder / _SCRIPT
    script.write_text(script_text(score))
    script.chmod(0o755)
    return script


def program_text(score: Score) -> str:
    """The program as plain Python: cells may have magics.

    Raises:
        ReplayError: it needs IPython to run.
    """
    from IPython.core.inputtransformer2 import TransformerManager

    text = TransformerManager().transform_cell(score.started.source)
    if "get_ipython()" in text:
        line = next(line for line in text.splitlines() if "get_ipython()" in line)
        raise ReplayError(
            f"A program is replayed as a plain script, but this one uses IPython: {line.strip()}."
            " Keep magics out of the cells that run on engines."
        )
    return text


def script_text(score: Score) -> str:
    """A batch script that trains the run again; with ``bash`` it runs where it is."""
    started = score.started
    lines = [
        "#!/bin/bash",
        f"#SBATCH --job-name={started.name}-replay",
        f"#SBATCH --ntasks={score.ranks}",
        "# Trains again what the journal beside this script tells: the same commands after the"
        " same steps.",
        "set -euo pipefail",
        'cd "${SLURM_SUBMIT_DIR:-$(dirname "$0")}"',
        *_exports({**started.environment, replay.VARIABLE: _JOURNAL}),
        f"mpiexec -n {score.ranks} python {_PROGRAM}",
    ]
    return "\n".join(lines) + "\n"


def _exports(variables: Mapping[str, str]) -> list[str]:
    return [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]


def _compared(path: Path, runs: Path, score: Score) -> Difference | None:
    name = score.started.name
    found = [one for run, one in journal.journals(runs).items() if journal.origin(run).name == name]
    if len(found) <= score.started.ordinal:
        raise ReplayError(
            f"A replayed program trains {name!r} again, but it began {len(found)} such runs."
        )
    again = found[score.started.ordinal]
    return replay.compare(journal.records(path), journal.records(again))
