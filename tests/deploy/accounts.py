"""Accounts of the machine, for as long as a test needs them."""

from __future__ import annotations

import secrets
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


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
