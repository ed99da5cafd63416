"""Keep one node of a job clean: ``python _keeper.py SCRATCH STEWARD``. Standard library only.

SIGTERM says that the job ends. While a job that makes room for another has some grace, Slurm sends
it to the steps alone: the keeper on the first node tells the steward. From then on ``SCRATCH`` is
removed, again and again while engines of the job are left that may write into it.
"""

import contextlib
import os
import shutil
import signal
import sys
import time
from pathlib import Path

_ENGINE = b"interactive_dl.engine"
_AGAIN_S = 0.5


def main(scratch: Path, steward: int) -> None:
    """Wait for SIGTERM, pass it on, clean up."""
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    signal.sigwait([signal.SIGTERM])
    if os.environ["SLURM_NODEID"] == "0":
        with contextlib.suppress(ProcessLookupError):
            os.kill(steward, signal.SIGTERM)
    clean(scratch, os.environ["SLURM_JOB_ID"])


def clean(scratch: Path, job: str, processes: Path = Path("/proc")) -> None:
    """Remove ``scratch`` until no engine of the job is left, and once more after that."""
    are_left = True
    while are_left:
        shutil.rmtree(scratch, ignore_errors=True)
        are_left = any(_is_engine(one, job) for one in processes.glob("[0-9]*"))
        time.sleep(_AGAIN_S)
    shutil.rmtree(scratch, ignore_errors=True)


def _is_engine(process: Path, job: str) -> bool:
    try:
        words = (process / "cmdline").read_bytes()
        variables = (process / "environ").read_bytes().split(b"\0")
    except OSError:
        return False
    return _ENGINE in words and f"SLURM_JOB_ID={job}".encode() in variables


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
