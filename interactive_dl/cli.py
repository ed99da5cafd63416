"""The ``idl`` command line."""

from __future__ import annotations

import argparse
import functools
import os
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import interactive_dl
from interactive_dl import science
from interactive_dl.bench import case, threads
from interactive_dl.cluster import replay
from interactive_dl.cluster.environment import mpi_environment, mpiexec_arguments
from interactive_dl.cluster.slurm import profile
from interactive_dl.cluster.slurm.request import request_of
from interactive_dl.cluster.ssh.request import options_of
from interactive_dl.errors import InteractiveDLError
from interactive_dl.telemetry.journal import runs_folder


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``idl``; the exit code for the shell.

    Args:
        arguments: words after ``idl``; by default the process's own.
    """
    chosen = parser().parse_args(arguments)
    try:
        code: int = chosen.run(chosen)
    except InteractiveDLError as error:
        print(error, file=sys.stderr)
        return 1
    return code


def parser() -> argparse.ArgumentParser:
    """What ``idl`` understands; ``run`` of what it parses is the function to call."""
    idl = argparse.ArgumentParser(prog="idl", description=interactive_dl.__doc__)
    idl.add_argument("--version", action="version", version=f"idl {interactive_dl.__version__}")
    commands = idl.add_subparsers(title="commands", required=True, metavar="COMMAND")

    doctor = commands.add_parser("doctor", help="is this environment fit for distributed training")
    doctor.add_argument("--json", action="store_true", help="print the findings as JSON")
    doctor.add_argument(
        "--cluster",
        nargs="*",
        metavar="WORD",
        help="look at the machines of a cluster: `slurm` (the default) or `ssh`, and options of a"
        " request, such as: nodes=2 partition=debug, or: ssh hosts=n1,n2:4",
    )
    doctor.set_defaults(run=_doctor)

    demo = commands.add_parser("demo", help="train on a local cluster, from a notebook")
    demo.set_defaults(run=_demo)

    run = commands.add_parser("run", help="run a script on MPI ranks of this machine")
    run.add_argument("-n", "--ranks", type=int, default=2, help="how many (default: 2)")
    run.add_argument("script", help="a Python file")
    run.add_argument("words", nargs=argparse.REMAINDER, help="the script's own arguments")
    run.set_defaults(run=_run)

    site = commands.add_parser("profile", help="what a cluster asks for where a call says nothing")
    site.set_defaults(run=_profile)

    runs = commands.add_parser("runs", help="the runs that have a journal")
    runs.add_argument("--folder", type=Path, help="of the journals (default: $IDL_RUNS or runs)")
    runs.set_defaults(run=_runs)

    _add_search(commands)
    _add_science(commands)

    again = commands.add_parser(
        "replay", help="train a run again, with its commands at its steps, and compare"
    )
    again.add_argument("journal", type=Path)
    again.set_defaults(run=_replay)

    export = commands.add_parser("export", help="write a batch script that trains a run again")
    export.add_argument("journal", type=Path)
    export.add_argument("-o", "--folder", type=Path, help="a new one (default: named like the run)")
    export.set_defaults(run=_export)

    cluster = commands.add_parser("cluster", help="clusters of this user on this machine")
    actions = cluster.add_subparsers(title="actions", required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="list them")
    listing.set_defaults(run=_list)
    stop = actions.add_parser("stop", help="end every process of one, and remove its files")
    stop.add_argument("id", help="its id, as `idl cluster list` shows it")
    stop.set_defaults(run=_stop)
    return idl


def _add_search(commands: Any) -> None:
    search = commands.add_parser("search", help="a hyper-parameter search that a script describes")
    search.add_argument(
        "script", type=Path, nargs="?", help="a Python file with: search = idl.Search(...)"
    )
    search.add_argument("--name", help="of the search (default: the script's)")
    search.add_argument("--engines", type=int, default=4, help="of a new cluster (default: 4)")
    search.add_argument("--cluster", metavar="ID", help="use this one, and leave it running")
    search.add_argument("--trials", type=int, help="how many (default: until interrupted)")
    search.add_argument("--concurrency", type=int, help="how many at once (default: all engines)")
    search.add_argument("--engines-per-trial", type=int, default=1, metavar="K", help="default: 1")
    search.add_argument("--time-budget", type=float, metavar="S", help="seconds until it ends")
    search.add_argument("--resume", metavar="NAME", help="go on with one that lost its cluster")
    search.set_defaults(run=_search)

    searches = commands.add_parser("searches", help="the searches that have a journal")
    searches.add_argument(
        "--folder", type=Path, help="of the journals (default: $IDL_RUNS or runs)"
    )
    searches.set_defaults(run=_searches)


def _add_science(commands: Any) -> None:
    cases = commands.add_parser("science", help="the seed cases: data, network, metric, gate")
    actions = cases.add_subparsers(title="actions", required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="list them")
    listing.set_defaults(run=_science_list)
    run = actions.add_parser("run", help="train one on this machine, and judge it by its gate")
    run.add_argument("--engines", type=int, default=1, help="MPI ranks (default: 1)")
    case.add_arguments(run)
    run.set_defaults(run=_science_run)
    tune = actions.add_parser("threads", help="how many threads train a case's network fastest")
    threads.add_arguments(tune)
    tune.set_defaults(run=_science_threads)


def _doctor(chosen: argparse.Namespace) -> int:
    if chosen.cluster is None:
        report = interactive_dl.doctor()
    else:
        where, options = _request(chosen.cluster)
        report = interactive_dl.Cluster(where, **options).doctor()
    print(report.json() if chosen.json else report)
    return 0 if report.ok else 1


def _request(words: Sequence[str]) -> tuple[str, dict[str, Any]]:
    """``ssh hosts=n1,n2:4``: where engines would run, and what is asked for.

    A hostfile has a slash in its path: ``hosts=./hostfile``.
    """
    where = "slurm"
    if words and "=" not in words[0]:
        where, *words = words
    options = _options(words)
    hosts = options.get("hosts")
    if isinstance(hosts, str) and "/" not in hosts:
        options["hosts"] = hosts.split(",")
    return where, options


def _options(words: Sequence[str]) -> dict[str, Any]:
    """``nodes=2 partition=debug``: values are as in a profile, but for quotes around a word."""
    options: dict[str, Any] = {}
    for word in words:
        name, _, value = word.partition("=")
        try:
            options |= tomllib.loads(f"{name} = {value}")
        except tomllib.TOMLDecodeError:
            options[name] = value
    return options


def _profile(_chosen: argparse.Namespace) -> int:
    """Each option of the profiles of site and user, and where it comes from."""
    paths = profile.files()
    found = {table: profile.layers(paths, {}, table) for table in profile.TABLES}
    request_of(profile.merged(found["slurm"]))
    options_of(profile.merged(found["ssh"]))
    shown = {table: profile.shown(layers) for table, layers in found.items()}
    print(
        "\n".join(f"[{table}]\n{options}" for table, options in shown.items() if options)
        or f"No profile sets an option. Looked for: {', '.join(map(str, paths))}"
    )
    return 0


def _demo(chosen: argparse.Namespace) -> int:
    # It brings in notebook tools that the other commands do without.
    from interactive_dl.bench import demo

    return demo.main()


def _run(chosen: argparse.Namespace) -> int:
    return _under_mpiexec(chosen.ranks, [chosen.script, *chosen.words])


def _under_mpiexec(ranks: int, words: Sequence[str]) -> int:
    """Python with these words on MPI ranks, in the environment that a cluster gives its engines."""
    command = [*mpiexec_arguments(ranks, fault_tolerant=False), sys.executable, *words]
    environment = {**os.environ, **mpi_environment(ranks)}
    return subprocess.run(command, env=environment, check=False).returncode


def _science_list(chosen: argparse.Namespace) -> int:
    print(case.listing())
    return 0


def _science_run(chosen: argparse.Namespace) -> int:
    science.case(chosen.case).config(chosen.size)  # an unknown size is one error, not each rank's
    return _under_mpiexec(chosen.engines, ["-m", case.__name__, *case.words(chosen)])


def _runs(chosen: argparse.Namespace) -> int:
    print(interactive_dl.Runs(chosen.folder or runs_folder()))
    return 0


def _search(chosen: argparse.Namespace) -> int:
    from interactive_dl.search import headless  # brings in Optuna

    wanted = headless.Wanted(
        script=chosen.script,
        resume=chosen.resume,
        name=chosen.name,
        engines=chosen.engines,
        cluster=chosen.cluster,
        trials=chosen.trials,
        concurrency=chosen.concurrency,
        engines_per_trial=chosen.engines_per_trial,
        time_budget_s=chosen.time_budget,
    )
    return headless.run(wanted, functools.partial(print, flush=True))


def _searches(chosen: argparse.Namespace) -> int:
    from interactive_dl.search import headless

    print(headless.listing((chosen.folder or runs_folder()).absolute()))
    return 0


def _science_threads(chosen: argparse.Namespace) -> int:
    print(threads.table(threads.study(chosen)))
    return 0


def _replay(chosen: argparse.Namespace) -> int:
    difference = replay.run(chosen.journal)
    print(f"not the same from {difference}" if difference else "the same, bit for bit")
    return 1 if difference else 0


def _export(chosen: argparse.Namespace) -> int:
    folder = chosen.folder or Path(f"{chosen.journal.stem}-replay")
    print(replay.export(chosen.journal, folder))
    return 0


def _list(chosen: argparse.Namespace) -> int:
    found = interactive_dl.Cluster.list()
    for one in found:
        print(f"{one.id}  {one.state}  {one.engines} engines  {one.host}")
    if not found:
        print("no clusters")
    return 0


def _stop(chosen: argparse.Namespace) -> int:
    # Without attaching: one whose controller was killed must end, too.
    interactive_dl.Cluster.recorded(chosen.id).stop()
    print(f"{chosen.id} stopped")
    return 0
