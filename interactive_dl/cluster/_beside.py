"""Programs that belong to a cluster and run beside its recorder."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence

from interactive_dl.cluster._description import Options
from interactive_dl.cluster._places import Places
from interactive_dl.cluster._variables import environment_of


def start(places: Places, options: Options, words: Sequence[str], log: str) -> int:
    """Start one; ``Cluster.start_beside`` says the rest."""
    environment = {**os.environ, **environment_of(places, options)}
    with (places.folder / log).open("ab") as file:
        started = subprocess.Popen(
            [sys.executable, *words],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
    return started.pid
