"""See ``interactive_dl.cluster.controller``."""

from __future__ import annotations

import functools
import logging
import os
import sys
from pathlib import Path

import zmq

from interactive_dl.cluster._processes import MARK
from interactive_dl.cluster.controller import _controller
from interactive_dl.cluster.controller._parts import Parts
from interactive_dl.telemetry import supervisor

_DEATHS = 5
_WITHIN_S = 10.0
_ADVICE = "The engines go on without it; to reach them again, type: cluster.restart()"


def main() -> int:
    """Supervise a controller until SIGTERM."""
    _log_to_stderr()
    _keep_curve_keys()
    folder = Path(os.environ[MARK])
    control = functools.partial(_controller.run, folder, sys.argv[1:])
    patience = supervisor.Patience(_DEATHS, _WITHIN_S)
    code = supervisor.supervise(control, patience, "The controller", _ADVICE)
    if code != 0:
        Parts(given_up=f"it died {_DEATHS} times within {_WITHIN_S:g} s").write(folder)
    return code


def _log_to_stderr() -> None:
    """Log what this package says; ipyparallel's processes do so for themselves."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(process)d %(levelname)s %(message)s"))
    log = logging.getLogger("interactive_dl")
    log.addHandler(handler)
    log.setLevel(logging.INFO)


def _keep_curve_keys() -> None:
    """Where ipyparallel is to encrypt, have all lives of the controller do so with one key."""
    if os.environ.get("IPP_ENABLE_CURVE") == "1" and "IPP_CURVE_SECRETKEY" not in os.environ:
        public, secret = zmq.curve_keypair()
        os.environ["IPP_CURVE_PUBLICKEY"] = public.decode()
        os.environ["IPP_CURVE_SECRETKEY"] = secret.decode()


if __name__ == "__main__":
    sys.exit(main())
