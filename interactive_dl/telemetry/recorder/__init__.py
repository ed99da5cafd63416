"""The process beside a cluster's controller that writes its runs' journals.

    IDL_CLUSTER=FOLDER python -m interactive_dl.telemetry.recorder \\
        --folder FOLDER --runs RUNS --port PORT [--host 127.0.0.1] [--deaths 5] [--within-s 10]

``--folder`` is the cluster's folder: exits of engines are read there, ``recorder.json`` (address
and keys, mode 0600) is written there. ``--runs`` is the folder of journals, made if need be.
``--host`` is the interface to listen on, and what callers are told; with ``0.0.0.0`` they are told
this host's name. The environment is not read; give ``IDL_CLUSTER`` so that the cluster finds the
processes. Logs go to stderr.

Two processes: a supervisor, and the recorder proper, which is started again when it ends abnormally
(on the same port, with the same keys) unless it does so ``--deaths`` times in ``--within-s``
seconds. Both die together. SIGTERM ends both, with exit code 0; SIGINT is ignored, because it is
the notebook's. Where they cannot go on the exit code is 1, and the log says why.

Start it (``recorder_command``) before the engines, and wait for it with ``await_recorder``.
"""

from __future__ import annotations

import sys
from pathlib import Path

from interactive_dl.telemetry.recorder._awaiting import await_recorder

__all__ = ["await_recorder", "recorder_command"]


def recorder_command(
    folder: Path, runs: Path, port: int, host: str = "127.0.0.1"
) -> tuple[str, ...]:
    """The program that records, with its words.

    Args:
        folder: the cluster's folder.
        runs: folder of the journals.
        port: to listen on; one that nobody else takes while the recorder is started again.
        host: interface to listen on.
    """
    words = {"folder": folder.absolute(), "runs": runs.absolute(), "port": port, "host": host}
    given = [word for name, value in words.items() for word in (f"--{name}", str(value))]
    return (sys.executable, "-m", "interactive_dl.telemetry.recorder", *given)
