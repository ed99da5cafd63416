"""The cluster's ipyparallel controller, which comes back when it is killed.

    IDL_CLUSTER=FOLDER python -m interactive_dl.cluster.controller WORDS-OF-IPCONTROLLER

Processes: a supervisor; the hub, which knows the engines and whom clients ask; the schedulers,
through which all requests and results go; a monitor of heartbeats. A hub that ends abnormally is
started again, unless it does so 5 times in 10 s: on the same ports, with the same keys, and with
the engines that were registered. The schedulers live on meanwhile, so that requests and results
pass as ever. When a scheduler ends all of them are started anew: the engines go on, but the
results that were on their way are lost, and clients are told so (``RESULTS_LOST``).

``FOLDER/controller.json`` tells which processes these are. SIGTERM to the supervisor ends all.
"""

from __future__ import annotations

import sys

RESULTS_LOST = "results_lost_notification"
"""What clients are sent after schedulers were lost; ``before_s`` (seconds since the epoch) in its
content says that requests from before then are not answered any more."""


def controller_command() -> tuple[str, ...]:
    """The program that controls; ipcontroller's words may follow."""
    return (sys.executable, "-m", "interactive_dl.cluster.controller")
