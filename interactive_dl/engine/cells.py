"""What an engine's shell does besides running cells: no rank waits for one whose cell failed."""

from __future__ import annotations

import functools
import sys
from typing import TYPE_CHECKING, Any

from interactive_dl.engine import _program, classic, failures, group, world

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell


def install(shell: InteractiveShell) -> None:
    """Complete Horovod for classic cells, keep the cells for replays, and watch for requests that
    fail on some ranks only.

    ``showtraceback`` is the one thing that every failed request comes to, a cell or a function of
    a view, silent or not, with its exception at hand; IPython's events know of cells only.
    """
    classic.install()
    original = shell.showtraceback

    @functools.wraps(original)
    def showtraceback(*args: Any, **kwargs: Any) -> Any:
        error = sys.exc_info()[1]
        if error is not None:
            _after_failure(error)
        return original(*args, **kwargs)

    shell.showtraceback = showtraceback
    _program.keep_cells(shell)


def _after_failure(error: BaseException) -> None:
    """End the collectives of the others if this rank left a cell that they are still in.

    Models whose optimizer is distributed see to this themselves in ``fit``; this is for everything
    else in a cell: loops of one's own, plain Horovod, code before and after ``fit``.
    """
    if not group.is_active():
        return
    ours = group.current()
    if ours.size == 1 or not _runs_on_all(ours):
        return
    if failures.ended_by_peer(error):
        print(failures.explain(ours, error), file=sys.stderr)
    elif not failures.all_failed(ours, error):
        failures.leave()


def _runs_on_all(ours: group.Group) -> bool:
    targets = world.cell_targets()
    return targets is None or set(ours.engines) <= set(targets)
