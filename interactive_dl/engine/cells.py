"""What an engine's shell does besides running cells: no rank waits for one whose cell failed."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from interactive_dl.engine import _horovod, classic, failures, group, world

if TYPE_CHECKING:
    from IPython.core.interactiveshell import ExecutionResult, InteractiveShell


def install(shell: InteractiveShell) -> None:
    """Complete Horovod for classic cells and watch for cells that fail on some ranks only."""
    classic.install()
    shell.events.register("post_run_cell", _after_cell)


def _after_cell(result: ExecutionResult) -> None:
    """End the collectives of the others if this rank left a cell that they are still in.

    Models whose optimizer is distributed see to this themselves in ``fit``; this is for everything
    else in a cell: loops of one's own, plain Horovod, code before and after ``fit``.
    """
    error = result.error_in_exec
    if error is None or not group.is_active():
        return
    ours = group.current()
    if ours.size == 1 or not _runs_on_all(ours):
        return
    if _horovod.is_collective_error(error):
        print(failures.explain(ours, error), file=sys.stderr)
    elif not failures.all_failed(ours, error):
        failures.leave()


def _runs_on_all(ours: group.Group) -> bool:
    targets = world.cell_targets()
    return targets is None or set(ours.engines) <= set(targets)
