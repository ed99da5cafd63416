"""The text of the program that trains, so that a journal can be trained again."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

_CELLS: list[str] = []


def note_cell(info: Any) -> None:
    """Keep a cell that begins to run; IPython calls this with what it knows of it."""
    _CELLS.append(info.raw_cell)


def source() -> str:
    """The cells that this engine has run, the running one included, or else the script."""
    if _CELLS:
        return "\n\n".join(_CELLS)
    script = getattr(sys.modules["__main__"], "__file__", None)
    if script is None or not Path(script).is_file():
        return ""
    return Path(script).read_text(errors="replace")
