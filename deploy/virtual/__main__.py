"""See ``deploy.virtual``."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from deploy.virtual import NETWORKS_VARIABLE
from deploy.virtual.entering import open_to_all
from deploy.virtual.hosts import network_handles, virtual_hosts
from deploy.virtual.packages import install_missing
from deploy.virtual.slurm import slurm_over
from deploy.virtual.ssh import ssh_over


def main(words: Sequence[str] | None = None) -> int:
    """Run a command on the login host of a virtual centre; its exit code."""
    options = _parse(words)
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        install_missing()
    except PermissionError as error:
        print(error, file=sys.stderr)
        return 1
    open_to_all()
    names = ["login", *(f"n{number}" for number in range(1, options.nodes + 1))]
    with ExitStack() as stack:
        folder = stack.enter_context(_scratch())
        hosts = stack.enter_context(virtual_hosts(names, folder))
        variables = stack.enter_context(slurm_over(hosts, folder, cpus=options.cpus))
        variables |= ssh_over(hosts, folder)
        networks = stack.enter_context(network_handles(hosts))
        variables[NETWORKS_VARIABLE] = json.dumps(networks)
        return subprocess.call(
            hosts[0].command(options.command),
            env={**os.environ, **variables},
            pass_fds=tuple(networks.values()),
        )


def _parse(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m deploy.virtual")
    parser.add_argument("--nodes", type=int, default=4, help="compute nodes (default: 4)")
    parser.add_argument("--cpus", type=int, default=4, help="CPUs of each (default: 4)")
    parser.add_argument("command", nargs=argparse.REMAINDER, help="by default a shell")
    options = parser.parse_args(words)
    options.command = options.command or [os.environ.get("SHELL", "/bin/bash")]
    return options


@contextmanager
def _scratch() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="idl-centre-"))
    # Nodes and users of the centre reach their sockets in it.
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
