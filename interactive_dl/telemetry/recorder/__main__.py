"""See ``interactive_dl.telemetry.recorder``."""

from __future__ import annotations

import argparse
import functools
import logging
import socket
import sys
from pathlib import Path

import zmq

from interactive_dl.telemetry import _address, supervisor
from interactive_dl.telemetry.recorder import _server

_ADVICE = "Trainings go on without it; to record again, type: cluster.restart()"
_ANY = frozenset({"0.0.0.0", "*", "::"})


def main() -> int:
    """Supervise a recorder until SIGTERM."""
    words = _words()
    logging.basicConfig(
        level=logging.INFO,
        format="%(asctime)s %(process)d %(levelname)s %(message)s",
        stream=sys.stderr,
    )
    recorder_key, recorder_secret = (key.decode() for key in zmq.curve_keypair())
    client_key, client_secret = (key.decode() for key in zmq.curve_keypair())
    told_host = socket.gethostname() if words.host in _ANY else words.host
    address = _address.Address(
        f"tcp://{told_host}:{words.port}", recorder_key, client_key, client_secret
    )
    serve = functools.partial(
        _server.serve,
        f"tcp://{words.host}:{words.port}",
        _server.Keys(recorder_secret, client_key),
        folder=words.folder,
        runs=words.runs,
    )
    _address.write(words.folder, address)
    patience = supervisor.Patience(words.deaths, words.within_s)
    code = supervisor.supervise(serve, patience, "The recorder", _ADVICE)
    if code == 0:
        _address.path_in(words.folder).unlink(missing_ok=True)
    return code


def _words() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m interactive_dl.telemetry.recorder")
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--runs", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--deaths", type=int, default=5)
    parser.add_argument("--within-s", type=float, default=10.0)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
