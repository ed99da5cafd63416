"""Who may write a checkpoint file: one training at a time, the one that took it last.

A training that is cut off goes on, while another one has gone on from its checkpoint: two writers
of one file. A fencing token beside it (``.run.keras.writer``) names the one that may write. File
systems that hosts share may have no locks, so only this is relied on: a rename and a removal happen
at once and for all, and who opens a file sees the latest that was renamed to its name.

- To *take* a file: rename a token of one's own over the one that stands, remove what others have
  written but not put in place; then read the file.
- To *write* it: write a file beside it, look whose token stands, rename that file.

Who looks before another's token stands has its file there already. Either the other removes it, and
the rename fails; or it is in place before the other reads. So nothing comes after that reading.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from interactive_dl.errors import CheckpointTakenError

_ID_BYTES = 8
_ANY_ID = "[0-9a-f]" * 2 * _ID_BYTES


@dataclass(frozen=True)
class Token:
    """The right to write one file.

    Attributes:
        name: of the training that has it.
        who: user, host and engine.
        taken_at_s: seconds since the epoch, by the clock of that host.
        id: tells it from all others.
    """

    name: str
    who: str
    taken_at_s: float = field(default_factory=time.time)
    id: str = field(default_factory=lambda: secrets.token_hex(_ID_BYTES))


def take(path: Path, token: Token) -> None:
    """Have nobody but the owner of ``token`` write ``path`` from now on; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _place(path, token)
    for other in path.parent.glob(f".{path.stem}.{_ANY_ID}.keras"):
        if other != _unfinished(path, token):
            other.unlink(missing_ok=True)


def check(path: Path, token: Token) -> None:
    """Check that nobody else has taken ``path`` since.

    Raises:
        CheckpointTakenError: somebody has.
    """
    file = _token_file(path)
    try:
        standing = Token(**json.loads(file.read_text()))
    except FileNotFoundError:
        _place(path, token)  # somebody has cleaned up: the first to look has it
        return
    if standing != token:
        raise CheckpointTakenError(
            f"One training at a time writes {path}, and another one has taken it over:"
            f" {_words(standing)}. This one ({_words(token)}) ends, and has not written. What it"
            " has trained since its last checkpoint is still in memory:"
            ' model.save("another.keras")'
        )


def write(path: Path, token: Token, fill: Callable[[Path], None]) -> None:
    """Write ``path``, whole or not at all, and only while it is the owner of ``token`` that may.

    Args:
        path: of the file.
        token: of who has taken it.
        fill: writes what is to be in it to a file of another name. It may be called again.

    Raises:
        CheckpointTakenError: somebody else has taken it; it stays as it is.
    """
    partial = _unfinished(path, token)
    is_in_place = False
    while not is_in_place:
        path.parent.mkdir(parents=True, exist_ok=True)
        check(path, token)
        try:
            fill(partial)
            check(path, token)
            partial.replace(path)
            is_in_place = True
        except FileNotFoundError:
            if partial.exists():
                raise
            # Removed by somebody who takes the file now, or by one who had taken it before.
        finally:
            partial.unlink(missing_ok=True)


def _place(path: Path, token: Token) -> None:
    file = _token_file(path)
    partial = file.with_name(f"{file.name}.{token.id}")
    partial.write_text(json.dumps(asdict(token)))
    partial.replace(file)


def _token_file(path: Path) -> Path:
    return path.with_name(f".{path.name}.writer")


def _unfinished(path: Path, token: Token) -> Path:
    return path.with_name(f".{path.stem}.{token.id}.keras")


def _words(token: Token) -> str:
    since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(token.taken_at_s))
    return f"{token.name!r} of {token.who}, since {since}"
