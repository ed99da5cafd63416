"""The whole suite with one verdict: ``python tests/run.py [WORD ...]``.

The tests of one process run in one pytest session for each kind; those of several ranks in one
``mpiexec`` for each number of ranks and Keras backend, because starting a framework takes seconds
per rank. One rank's sessions run beside the unit tests.
With words, only the sessions whose name has one of them run: ``python tests/run.py torch``.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from interactive_dl.cluster.environment import mpi_environment, mpiexec_arguments

ROOT = Path(__file__).resolve().parents[1]
ONE_PROCESS = {
    "units": ("tests/unit", "tests/telemetry"),
    "clusters": ("tests/cluster",),
    "widgets, notebooks": ("tests/widgets", "tests/notebooks"),
}
RANKS = (1, 2, 4)
BACKENDS = ("tensorflow", "torch")
TIMEOUT_S = 2400
_SHOWN_LINES = 80


@dataclass(frozen=True)
class Session:
    """One pytest session.

    Attributes:
        name: as the summary shows it.
        command: what to run, up to ``--junitxml``'s value.
        rest: what follows it.
        environment: variables over this process's.
        shown: whether its output goes to the terminal as it comes.
    """

    name: str
    command: tuple[str, ...]
    rest: tuple[str, ...]
    environment: dict[str, str]
    shown: bool


Lane = tuple[Session, ...]
"""Sessions that run one after the other."""


@dataclass(frozen=True)
class Outcome:
    """How a session ended: counts, its last lines where it failed unseen, what took longest."""

    passed: int
    failed: int
    skipped: int
    duration_s: float
    tail: str = ""
    slowest: tuple[str, ...] = ()


def stages() -> tuple[tuple[Lane, ...], ...]:
    """All sessions, in the order in which they run: the lanes of a stage beside each other."""
    pytest = (sys.executable, "-m", "pytest", "-p", "no:cacheprovider")
    units, *others = (
        Session(name, (*pytest, "-q", *folders, "--junitxml"), (), mpi_environment(1), shown=True)
        for name, folders in ONE_PROCESS.items()
    )
    one_rank = tuple(_parallel(pytest, 1, name) for name in BACKENDS)
    more_ranks = [_parallel(pytest, ranks, name) for name in BACKENDS for ranks in RANKS[1:]]
    alone = (*others, _at_a_centre(pytest), *more_ranks)
    return (((units,), one_rank), *(((one,),) for one in alone))


def _at_a_centre(pytest: tuple[str, ...]) -> Session:
    """On the login host of virtual hosts with a real Slurm."""
    login = (sys.executable, "-m", "deploy.virtual")
    return Session(
        "centre",
        (*login, *pytest, "-q", "tests/deploy", "--junitxml"),
        (),
        mpi_environment(1),
        shown=True,
    )


def _parallel(pytest: tuple[str, ...], ranks: int, backend: str) -> Session:
    start = mpiexec_arguments(1, fault_tolerant=False)
    run = (*pytest, "-q", "--color=no", "tests/parallel")
    # Only rank 0 writes a report: it fails every test that fails on any rank.
    others = (":", "-n", str(ranks - 1), *run) if ranks > 1 else ()
    return Session(
        f"{ranks} rank{'s' if ranks > 1 else ''}, {backend}",
        (*start, *run, "--junitxml"),
        others,
        {**mpi_environment(ranks), "KERAS_BACKEND": backend},
        shown=False,
    )


def execute(session: Session, folder: Path) -> Outcome:
    """Run a session to its end, or to its time limit."""
    report = folder / f"{session.name}.xml"
    log = folder / f"{session.name}.log"
    started_s = time.monotonic()
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*session.command, str(report), *session.rest],
            cwd=ROOT,
            env={**os.environ, **session.environment},
            stdin=subprocess.DEVNULL,
            stdout=None if session.shown else output,
            stderr=None if session.shown else subprocess.STDOUT,
        )
        code = _wait(process)
    duration_s = time.monotonic() - started_s
    passed, failed, skipped = counts(report)
    if code != 0 and failed == 0:
        # A crash, a hang, or nothing collected has no test to its name.
        failed = 1
    tail = (
        ""
        if failed == 0
        else "\n".join(log.read_text(errors="replace").splitlines()[-_SHOWN_LINES:])
    )
    return Outcome(passed, failed, skipped, duration_s, tail, slowest(report))


def slowest(report: Path, count: int = 5) -> tuple[str, ...]:
    """The tests of a JUnit report that took longest, with their seconds."""
    if not report.exists():
        return ()
    cases = ElementTree.parse(report).getroot().iter("testcase")
    timed = sorted(
        ((float(one.get("time", 0)), one.get("name", "?")) for one in cases), reverse=True
    )
    return tuple(f"{time_s:6.1f} s  {name}" for time_s, name in timed[:count])


def counts(report: Path) -> tuple[int, int, int]:
    """Passed, failed and skipped tests in a JUnit report; zeros where none was written."""
    if not report.exists():
        return 0, 0, 0
    suites = list(ElementTree.parse(report).getroot().iter("testsuite"))
    total, failures, errors, skipped = (
        sum(int(suite.get(name, 0)) for suite in suites)
        for name in ("tests", "failures", "errors", "skipped")
    )
    failed = failures + errors
    return total - failed - skipped, failed, skipped


def verdict(outcomes: Sequence[Outcome], duration_s: float) -> str:
    """The last line of a run that took so long."""
    passed, failed, skipped = (
        sum(getattr(one, name) for one in outcomes) for name in ("passed", "failed", "skipped")
    )
    return f"{passed} passed, {failed} failed, {skipped} skipped in {duration_s / 60:.1f} min"


def main(words: Sequence[str]) -> int:
    """Run the sessions that the words choose; the exit code for the shell."""
    outcomes: list[Outcome] = []
    began_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="interactive_dl-tests-") as folder:
        for stage in stages():
            lanes = [_chosen(lane, words) for lane in stage]
            with ThreadPoolExecutor(len(lanes)) as beside:
                for done in beside.map(lambda lane: _run(lane, Path(folder)), lanes):
                    outcomes += done
    print(f"\n{verdict(outcomes, time.monotonic() - began_s)}")
    return 1 if not outcomes or any(one.failed for one in outcomes) else 0


def _chosen(lane: Lane, words: Sequence[str]) -> Lane:
    return tuple(one for one in lane if not words or any(word in one.name for word in words))


def _run(lane: Lane, folder: Path) -> list[Outcome]:
    outcomes = []
    for session in lane:
        outcome = execute(session, folder)
        outcomes.append(outcome)
        if outcome.tail:
            print(outcome.tail)
        print(f"{session.name:<22} {verdict([outcome], outcome.duration_s)}")
        print(*(f"{'':<22} {line}" for line in outcome.slowest), sep="\n", flush=True)
    return outcomes


def _wait(process: subprocess.Popen[bytes]) -> int:
    try:
        return process.wait(timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired:
        print(f"No end after {TIMEOUT_S} s; stopping it.", flush=True)
        process.send_signal(signal.SIGTERM)
        try:
            return process.wait(timeout=10) or 1
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()
    except BaseException:
        process.send_signal(signal.SIGTERM)
        process.wait()
        raise


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
