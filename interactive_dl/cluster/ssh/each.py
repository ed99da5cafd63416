"""Starts engines without MPI on hosts, each on its own: one that ends, or a host, ends no other.

python -m interactive_dl.cluster.ssh.each -n 3 --host n1:1,n2:2 --script F [--ssh=WORD ...]
    -- python -m interactive_dl.engine ... --world 4,5,6
"""

from __future__ import annotations

import argparse
import contextlib
import shlex
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from interactive_dl.cluster.ssh._connection import ssh_words

_WORLD = "--world"


def each_command(engines: int, script: Path, ssh_options: Sequence[str]) -> tuple[str, ...]:
    """The command that starts engines, up to their own words.

    Args:
        engines: how many.
        script: with what a host's shell does first.
        ssh_options: further words for ssh.
    """
    options = [f"--ssh={word}" for word in ssh_options]
    command = (sys.executable, "-m", __name__, "-n", str(engines))
    return (*command, "--script", str(script), *options, "--")


def commands(
    hosts: str, script: str, ssh_options: Sequence[str], engine: Sequence[str]
) -> list[list[str]]:
    """One for each engine.

    Args:
        hosts: each with its number of engines: ``n1:1,n2:2``.
        script: with what a host's shell does first.
        ssh_options: further words for ssh.
        engine: words that start one, and ``--world`` with the ids of all, in the order of hosts.
    """
    slots = (one.split(":") for one in hosts.split(","))
    places = [host for host, count in slots for _ in range(int(count))]
    ids = engine[engine.index(_WORLD) + 1].split(",")
    return [
        [*ssh_words(ssh_options), "-n", host, shlex.join(["bash", script, *engine, "--id", one])]
        for host, one in zip(places, ids, strict=True)
    ]


def main(words: Sequence[str] | None = None) -> int:
    """Start all engines and wait for all their ends; the first exit code that is not 0.

    SIGINT ends the connections; who guards the hosts ends the engines.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    chosen = _parse(words)
    started = [
        subprocess.Popen(command)
        for command in commands(chosen.host, chosen.script, chosen.ssh, chosen.engine)
    ]
    with contextlib.suppress(KeyboardInterrupt):
        codes = [one.wait() for one in started]  # the first bad end is not the others' end
        return next((code for code in codes if code != 0), 0)
    for one in started:
        one.kill()
    return 1


def _parse(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m interactive_dl.cluster.ssh.each")
    parser.add_argument("-n", type=int, required=True, help="how many engines")
    parser.add_argument("--host", required=True, help="hosts, each with its number: n1:1,n2:2")
    parser.add_argument("--script", required=True, help="what a host's shell does first")
    parser.add_argument("--ssh", action="append", default=[], help="a further word for ssh")
    parser.add_argument("engine", nargs="+", help="starts an engine")
    return parser.parse_args(words)


if __name__ == "__main__":
    sys.exit(main())
