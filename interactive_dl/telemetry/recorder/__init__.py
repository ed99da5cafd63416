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

Start it before the engines, and wait for it with ``await_recorder(folder, timeout_s)``.
"""

from __future__ import annotations

from interactive_dl.telemetry.recorder._awaiting import await_recorder

__all__ = ["await_recorder"]
