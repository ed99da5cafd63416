"""The program that trains: its text, so that a journal can be trained again and a new engine can
catch up, and how far it has come.
"""

from __future__ import annotations

import functools
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell


@dataclass
class _Progress:
    cells: list[str] = field(default_factory=list)
    fits: int = 0


_PROGRESS = _Progress()


def keep_cells(shell: InteractiveShell) -> None:
    """Keep the text of every cell that this shell runs from now on.

    IPython's events do not tell of silent cells, such as those of a view's ``execute``; all of
    them come to this one method.
    """
    original = shell.run_cell_async

    @functools.wraps(original)
    def run_cell_async(raw_cell: str, *args: Any, **kwargs: Any) -> Any:
        _PROGRESS.cells.append(raw_cell)
        _PROGRESS.fits = 0
        return original(raw_cell, *args, **kwargs)

    shell.run_cell_async = run_cell_async


def cells() -> tuple[str, ...]:
    """The cells that this engine has run, the running one included."""
    return tuple(_PROGRESS.cells)


def begin_fit() -> int:
    """Count one more distributed ``fit`` of the cell that runs.

    Returns:
        Its number, from 0.
    """
    _PROGRESS.fits += 1
    return _PROGRESS.fits - 1


def fit_number() -> int:
    """Number of the latest distributed ``fit`` in its cell, from 0."""
    return _PROGRESS.fits - 1


def source() -> str:
    """The cells that this engine has run, the running one included, or else the script."""
    if _PROGRESS.cells:
        return "\n\n".join(_PROGRESS.cells)
    script = getattr(sys.modules["__main__"], "__file__", None)
    if script is None or not Path(script).is_file():
        return ""
    return Path(script).read_text(errors="replace")
