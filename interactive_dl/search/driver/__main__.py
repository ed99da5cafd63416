"""See ``interactive_dl.search.driver``."""

from __future__ import annotations

import argparse
import functools
import logging
import sys
from pathlib import Path

from interactive_dl.search.driver import _drive
from interactive_dl.telemetry import supervisor

_ADVICE = (
    "Trials that run go on to their end. To let it go on: idl.Search.attach(name).resume(cluster)"
)


def main() -> int:
    """Run a search, and begin again when killed, until it is over."""
    parser = argparse.ArgumentParser(prog="python -m interactive_dl.search.driver")
    parser.add_argument("--cluster", required=True, help="its id")
    parser.add_argument("--search", required=True, help="its id")
    parser.add_argument("--runs", type=Path, required=True, help="folder of the journals")
    words = parser.parse_args()
    logging.basicConfig(
        level=logging.INFO,
        format="%(asctime)s %(process)d %(levelname)s %(message)s",
        stream=sys.stderr,
    )
    program = functools.partial(_drive.drive, words.cluster, words.search, words.runs)
    return supervisor.supervise(
        program, supervisor.Patience(deaths=5, within_s=20.0), "The search's driver", _ADVICE
    )


if __name__ == "__main__":
    sys.exit(main())
