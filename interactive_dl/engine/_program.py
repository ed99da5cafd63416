"""The text of the program that trains, so that a journal can be trained again."""

from __future__ import annotations

import functools
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

_CELLS: list[str] = []


def keep_cells(shell: InteractiveShell) -> None:
    """Keep the text of every cell that this shell runs from now on.

    IPython's events do not tell of silent cells, such as those of a view's ``execute``; all of
    them come to this one method.
    """
    original = shell.run_cell_async

    @functools.wraps(original)
    def run_cell_async(raw_cell: str, *args: Any, **kwargs: Any) -> Any:
        _CELLS.append(raw_cell)
        return original(raw_cell, *args, **kwargs)

    shell.run_cell_async = run_cell_async


def source() -> str:
    """The cells that this engine has run, the running one included, or else the script."""
    if _CELLS:
        return "\n\n".join(_CELLS)
    script = getattr(sys.modules["__main__"], "__file__", None)
    if script is None or not Path(script).is_file():
        return ""
    return Path(script).read_text(errors="replace")
