"""Programs that belong to a cluster and run beside its recorder."""

from __future__ import annotations

import os
from collections.abc import Sequence

from interactive_dl.cluster import _elsewhere
from interactive_dl.cluster._description import Options
from interactive_dl.cluster._places import Places
from interactive_dl.cluster._variables import environment_of
from interactive_dl.telemetry import beside


def start(places: Places, options: Options, words: Sequence[str], log: str) -> beside.Started:
    """Start one; ``Cluster.start_beside`` says the rest."""
    if _elsewhere.is_elsewhere(places):
        return _elsewhere.start_beside(places, words, log)
    environment = {**os.environ, **environment_of(places, options)}
    return beside.start(words, places.folder / log, environment)
