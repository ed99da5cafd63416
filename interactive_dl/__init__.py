"""Interactive distributed deep learning: MPI engines, Keras and Horovod, steered from a notebook.

The public names load when they are first used, so that ``import interactive_dl`` stays cheap and
brings in no deep-learning framework.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from interactive_dl.cluster import Cluster, doctor
    from interactive_dl.search.ranges import (
        choice,
        fixed,
        integer,
        log_integer,
        log_uniform,
        uniform,
    )
    from interactive_dl.search.search import Search
    from interactive_dl.telemetry.run import Run, Runs, open_run

__version__ = "0.1.0"
__all__ = [
    "Cluster",
    "Run",
    "Runs",
    "Search",
    "choice",
    "doctor",
    "fixed",
    "integer",
    "log_integer",
    "log_uniform",
    "open_run",
    "uniform",
]

_PUBLIC = {
    "Cluster": "interactive_dl.cluster",
    "Run": "interactive_dl.telemetry.run",
    "Runs": "interactive_dl.telemetry.run",
    "Search": "interactive_dl.search.search",
    "choice": "interactive_dl.search.ranges",
    "doctor": "interactive_dl.cluster",
    "fixed": "interactive_dl.search.ranges",
    "integer": "interactive_dl.search.ranges",
    "log_integer": "interactive_dl.search.ranges",
    "log_uniform": "interactive_dl.search.ranges",
    "open_run": "interactive_dl.telemetry.run",
    "uniform": "interactive_dl.search.ranges",
}


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(importlib.import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def load_ipython_extension(shell: InteractiveShell) -> None:
    """Add ``%cluster`` to a notebook: ``%load_ext interactive_dl``."""
    importlib.import_module("interactive_dl.magics").load_ipython_extension(shell)
