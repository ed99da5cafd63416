"""Accounts of the machine, for as long as a test needs them."""

from __future__ import annotations

import os
import secrets
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Account:
    """Somebody who may log in.

    Attributes:
        name: of the account.
        password: in clear.
        home: its folder, which nobody else may enter.
        uid: its number.
    """

    name: str
    password: str
    home: Path
    uid: int


@contextmanager
def account(folder: Path, word: str) -> Iterator[Account]:
    """A new account, and what it owns; both are removed at the end.

    Args:
        folder: where its home goes; everybody must be able to enter it.
        word: what its name begins with.
    """
    name, password = f"{word}-{secrets.token_hex(3)}", secrets.token_hex(8)
    home = folder / name
    subprocess.run(["useradd", "-m", "-s", "/bin/bash", "-d", str(home), name], check=True)
    try:
        subprocess.run(["chpasswd"], input=f"{name}:{password}", text=True, check=True)
        home.chmod(0o700)
        yield Account(name, password, home, home.stat().st_uid)
    finally:
        subprocess.run(["userdel", "--force", "--remove", name], check=True, capture_output=True)


def where_all_may_enter(words: Sequence[str]) -> list[str]:
    """A command that runs ``words`` with our interpreter and checkout open to all accounts.

    They may lie in a home folder that only its owner may enter. The command sees, in a mount
    namespace of its own, an empty folder there with only these two in it.
    """
    needed = {Path(sys.base_prefix).resolve(), _ROOT}
    closed = {one: _closed_above(one) for one in needed}
    lines = ["set -e", "spare=$(mktemp -d)"]
    for top in {folder for folder in closed.values() if folder is not None}:
        inside = [one for one, folder in closed.items() if folder == top]
        for number, one in enumerate(inside):
            kept = f'"$spare/{number}"'
            lines.append(f"mkdir {kept}; mount --bind {shlex.quote(str(one))} {kept}")
        lines.append(f"mount -t tmpfs -o mode=755 tmpfs {shlex.quote(str(top))}")
        for number, one in enumerate(inside):
            place = shlex.quote(str(one))
            lines.append(f'mkdir -p {place}; mount --move "$spare/{number}" {place}')
    lines.append('rm -r "$spare"; exec "$@"')
    return ["unshare", "--mount", "bash", "-c", "\n".join(lines), "bash", *words]


def _closed_above(place: Path) -> Path | None:
    """The outermost folder above ``place`` that others may not pass through."""
    outermost_first = list(place.parents)[::-1]
    return next((one for one in outermost_first if not one.stat().st_mode & os.X_OK), None)
