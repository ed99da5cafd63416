"""The job script: text, from a request and what is to run.

#!/bin/bash
#SBATCH ...                      directives
...                              the request's set-up lines
export ...                       the engines' environment
exec python -m interactive_dl.cluster.slurm.steward ... -- mpiexec ... python -m ...engine ...
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from interactive_dl.cluster.slurm.commands import KEEPER
from interactive_dl.cluster.slurm.request import Request
from interactive_dl.cluster.slurm.steward import keeper_command
from interactive_dl.errors import RequestError

SCRATCH = "IDL_SCRATCH"
"""Environment variable of a job: the folder that every node has for itself while it runs."""

_WARNING = "USR1"
_NOT_OURS = 93
# Anybody may have made a folder of this name before.
_MAKE = (
    f'mkdir -p -m 700 "${SCRATCH}"; [ -O "${SCRATCH}" ] && [ ! -L "${SCRATCH}" ] ||'
    f' {{ echo "$(uname -n): ${SCRATCH} was made by somebody else, or is a link." >&2;'
    f" exit {_NOT_OURS}; }}"
)


def job_script(
    request: Request,
    *,
    name: str,
    log: Path,
    prefix: Path,
    scratch: Path,
    in_scratch: Sequence[str],
    environment: Mapping[str, str],
    command: Sequence[str],
) -> str:
    """The script that sbatch takes.

    Args:
        request: what is asked for.
        name: of the job.
        log: file for everything that the job prints.
        prefix: of the Python environment; its ``bin`` comes first in ``PATH``.
        scratch: folder that every node has for itself while the job runs, but for the job's number:
            a follow-on may share a node.
        in_scratch: variables of the engines that hold its path.
        environment: variables of the engines.
        command: starts all of them, from the first node, and looks after them.

    Raises:
        RequestError: a directive that is to be omitted is none.
    """
    on_each = f"srun --overlap --nodes={request.nodes} --ntasks={request.nodes}"
    lines = [
        "#!/bin/bash",
        *(f"#SBATCH {words}" for words in _directives(request, name, log)),
        "umask 077",
        *request.setup,
        f'export PATH={shlex.quote(str(prefix / "bin"))}:"$PATH"',
        f'export {SCRATCH}={shlex.quote(str(scratch))}-"$SLURM_JOB_ID"',
        *(f'export {key}="${SCRATCH}"' for key in in_scratch),
        *(f"export {key}={shlex.quote(value)}" for key, value in sorted(environment.items())),
        f"{on_each} bash -c {shlex.quote(_MAKE)} || [ $? -ne {_NOT_OURS} ] || exit {_NOT_OURS}",
        # A job that is cancelled or out of time starts no more steps: this one cleans up then. It
        # tells the steward, which is this shell's process from the last line on.
        f'{on_each} --no-kill --job-name={KEEPER} {shlex.join(keeper_command())} "${SCRATCH}" $$ &',
        # Slurm signals the first process of the job: from here on that is this one.
        f"exec {shlex.join(command)}",
    ]
    return "\n".join(lines) + "\n"


def _directives(request: Request, name: str, log: Path) -> Iterator[str]:
    values = _values(request, name, log)
    if unknown := sorted(set(request.omit_directives) - set(values)):
        raise RequestError(
            f"Only directives that are written can be omitted, but got {', '.join(unknown)}."
            f" There are: {', '.join(values)}."
        )
    for option, value in values.items():
        if value is not None and option not in request.omit_directives:
            word = f'"{value}"' if " " in value else value
            yield f"--{option}={word}" if value else f"--{option}"
    yield from request.extra_directives


def _values(request: Request, name: str, log: Path) -> dict[str, str | None]:
    """All directives that are written for one request or another; None for what this one lacks."""
    gpus = request.engines_per_node * request.gpus_per_engine
    return {
        "job-name": name,
        # A percent sign would begin one of sbatch's own words.
        "output": str(log).replace("%", "%%"),
        # A follow-on job goes on with the file.
        "open-mode": "append",
        "nodes": str(request.nodes),
        "ntasks-per-node": str(request.engines_per_node),
        "cpus-per-task": str(request.cpus_per_engine),
        "gpus-per-node": str(gpus) if gpus else None,
        "mem": f"{round(request.mem_gb * 1e9 / 2**20)}M" if request.mem_gb else None,
        "time": str(request.walltime_min) if request.walltime_min else None,
        "signal": f"B:{_WARNING}@{request.warn_s}" if request.warn_s else None,
        # What is left of it goes on.
        "no-kill": "",
        "partition": request.partition,
        "account": request.account,
        "qos": request.qos,
        "constraint": request.constraint,
        "reservation": request.reservation,
        # A job that starts again by itself would meet a controller that knows other engines.
        "no-requeue": "",
    }
