"""What an environment was set up from, so that the second call has nothing to do."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from deploy.setup.options import Options

_NAME = "interactive_dl-setup.json"


@dataclass(frozen=True)
class Stamp:
    """The state of a finished environment.

    Attributes:
        digest: of all that the environment depends on.
        options: what it holds.
    """

    digest: str
    options: Options

    def write(self, environment: Path) -> None:
        """Write under a temporary name, then rename."""
        partial = environment / f".{_NAME}.{os.getpid()}"
        partial.write_text(json.dumps(asdict(self)))
        partial.rename(environment / _NAME)

    @classmethod
    def read(cls, environment: Path) -> Stamp | None:
        """The stamp of an environment; None if its set-up never finished."""
        path = environment / _NAME
        if not path.exists():
            return None
        fields = json.loads(path.read_text())
        return cls(fields["digest"], Options(**fields["options"]))


def remove(environment: Path) -> None:
    """Forget the stamp: the environment is about to change."""
    (environment / _NAME).unlink(missing_ok=True)


def digest(options: Options, facts: Iterable[str], files: Iterable[Path]) -> str:
    """Hash of options, facts and the contents of files.

    Args:
        options: what is to be installed.
        facts: what else the environment depends on: where it is, the interpreter's version.
        files: files whose contents count, in this order.
    """
    found = hashlib.sha256(repr((options, tuple(facts))).encode())
    for file in files:
        found.update(hashlib.sha256(file.read_bytes()).digest())
    return found.hexdigest()
