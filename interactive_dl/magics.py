"""``%cluster`` in a notebook, after ``%load_ext interactive_dl``: the ``Cluster`` API in one line.

    %cluster start -n 4          %cluster heal
    %cluster status              %cluster list
    %cluster stop                %cluster attach ID

The cluster is the notebook's variable ``cluster``, and ``%%px`` runs on its engines.
"""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Callable
from typing import NoReturn

from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell
from IPython.core.magic import Magics, line_magic, magics_class

from interactive_dl.cluster import Cluster

VARIABLE = "cluster"


@magics_class
class ClusterMagics(Magics):
    """The ``%cluster`` magic."""

    @line_magic
    def cluster(self, line: str) -> Cluster | None:
        """Start, watch, mend and stop a cluster of engines; ``%cluster --help`` lists how."""
        options = _parser().parse_args(shlex.split(line))
        act: Callable[[ClusterMagics, argparse.Namespace], Cluster | None] = options.act
        return act(self, options)

    def _start(self, options: argparse.Namespace) -> Cluster:
        return self._keep(Cluster(options.engines, cluster_id=options.id).start())

    def _attach(self, options: argparse.Namespace) -> Cluster:
        return self._keep(Cluster.attach(options.id))

    def _status(self, _options: argparse.Namespace) -> None:
        cluster = self._current()
        print(f"{cluster.id}: {cluster.state}")
        for engine in cluster.engines:
            print(
                f"  engine {engine.id}  rank {engine.rank}  {engine.host}  pid {engine.pid}"
                f"  {engine.state}"
            )
        for death in cluster.deaths:
            print(death)

    def _stop(self, _options: argparse.Namespace) -> None:
        self._current().stop()

    def _heal(self, _options: argparse.Namespace) -> Cluster:
        return self._current().heal()

    def _list(self, _options: argparse.Namespace) -> None:
        for one in Cluster.list():
            print(f"{one.id}  {one.state}  {one.engines} engines on {one.host}")

    def _keep(self, cluster: Cluster) -> Cluster:
        self._shell().user_ns[VARIABLE] = cluster
        return cluster

    def _current(self) -> Cluster:
        cluster = self._shell().user_ns.get(VARIABLE)
        if not isinstance(cluster, Cluster):
            raise UsageError(
                f"This notebook has no cluster in its variable {VARIABLE!r}. Type: %cluster start"
                " -n 4, or %cluster list and %cluster attach ID"
            )
        return cluster

    def _shell(self) -> InteractiveShell:
        assert self.shell is not None
        return self.shell


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}\n{self.format_usage()}")

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        raise UsageError(message or "")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="%cluster")
    verbs = parser.add_subparsers(required=True, metavar="VERB", parser_class=_Parser)
    start = verbs.add_parser("start", help="start engines")
    start.add_argument("-n", "--engines", type=int, default=4)
    start.add_argument("--id", help="a name to attach with; by default a new one")
    start.set_defaults(act=ClusterMagics._start)
    attach = verbs.add_parser("attach", help="reach a running cluster")
    attach.add_argument("id")
    attach.set_defaults(act=ClusterMagics._attach)
    for verb, act, text in (
        ("status", ClusterMagics._status, "engines, and deaths with their reason"),
        ("heal", ClusterMagics._heal, "replace dead engines"),
        ("stop", ClusterMagics._stop, "end it and remove its files"),
        ("list", ClusterMagics._list, "all clusters of this user"),
    ):
        verbs.add_parser(verb, help=text).set_defaults(act=act)
    return parser


def load_ipython_extension(shell: InteractiveShell) -> None:
    """Register ``%cluster``."""
    shell.register_magics(ClusterMagics)
