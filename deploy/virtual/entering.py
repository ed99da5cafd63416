"""The interpreter and the checkout, open to all accounts of a virtual centre."""

from __future__ import annotations

import ctypes
import os
import shlex
import subprocess
import sys
from pathlib import Path

_CHECKOUT = Path(__file__).resolve().parents[2]
_CLONE_NEWNS = 0x00020000


def open_to_all() -> None:
    """Let every account enter our interpreter and checkout, wherever they lie.

    They may lie in a home folder that only its owner may enter. This process, and all that it
    starts from now on, see an empty folder there, with only these two in it.

    Raises:
        OSError: this is not root.
    """
    needed = {Path(sys.base_prefix).resolve(), _CHECKOUT}
    closed = {one: _closed_above(one) for one in needed}
    tops = {folder for folder in closed.values() if folder is not None}
    if not tops:
        return
    if ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWNS) != 0:
        raise OSError(ctypes.get_errno(), "Only root may have mounts of its own")
    lines = ["mount --make-rprivate /", "spare=$(mktemp -d)"]
    for top in sorted(tops):
        inside = [one for one, folder in closed.items() if folder == top]
        for number, one in enumerate(inside):
            kept = f'"$spare/{number}"'
            lines.append(f"mkdir {kept}; mount --bind {shlex.quote(str(one))} {kept}")
        lines.append(f"mount -t tmpfs -o mode=711 tmpfs {shlex.quote(str(top))}")
        for number, one in enumerate(inside):
            place = shlex.quote(str(one))
            lines.append(f'mkdir -p {place}; mount --move "$spare/{number}" {place}')
    here = Path.cwd()
    subprocess.run(["sh", "-ec", "\n".join([*lines, 'rm -r "$spare"'])], cwd="/", check=True)
    # What was our folder may be hidden by now.
    os.chdir(here if here.exists() else _CHECKOUT)


def _closed_above(place: Path) -> Path | None:
    """The outermost folder above ``place`` that others may not pass through."""
    outermost_first = list(place.parents)[::-1]
    return next((one for one in outermost_first if not one.stat().st_mode & os.X_OK), None)
