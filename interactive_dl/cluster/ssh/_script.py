"""What a host's shell does before anything of ours runs there: text."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

NO_INTERPRETER = 91
NO_FOLDER = 92
ON_HOST = "IDL_ON_HOST"
"""Environment variable of all that runs on a host of a cluster, but for the cluster's own parts."""


def host_script(
    *,
    setup: Sequence[str],
    folder: Path,
    interpreter: Path,
    environment: Mapping[str, str],
    last: str = 'exec "$@"',
) -> str:
    """A script for bash; it ends as its last line does, or with one of the codes above.

    Args:
        setup: lines of the request.
        folder: in which engines run.
        interpreter: Python of the environment; its folder comes first in ``PATH``.
        environment: variables of the engines.
        last: what it is to become.
    """
    python, here = shlex.quote(str(interpreter)), shlex.quote(str(folder))
    lines = [
        "#!/bin/bash",
        "umask 077",
        *setup,
        f"test -x {python} || exit {NO_INTERPRETER}",
        f"cd {here} || exit {NO_FOLDER}",
        f'export PATH={shlex.quote(str(interpreter.parent))}:"$PATH"',
        *(f"export {key}={shlex.quote(value)}" for key, value in sorted(environment.items())),
        last,
    ]
    return "\n".join(lines) + "\n"
