"""The driver of this suite: a failure that no report mentions must not pass."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests import run
from tests.run import Outcome, Session, counts, execute, main, slowest, stages, verdict

REPORT = '<testsuites><testsuite tests="7" failures="1" errors="2" skipped="1"/></testsuites>'


def sessions() -> list[Session]:
    return [session for stage in stages() for lane in stage for session in lane]


def session(program: str) -> Session:
    """A session that runs ``program`` with the report's path as its argument."""
    return Session("trial", (sys.executable, "-c", program), (), {}, shown=False)


def test_every_backend_runs_on_every_number_of_ranks_in_one_mpiexec() -> None:
    parallel = [one for one in sessions() if "mpiexec" in one.command]
    assert sorted(one.name for one in parallel) == [
        "1 rank, tensorflow",
        "1 rank, torch",
        "2 ranks, tensorflow",
        "2 ranks, torch",
        "4 ranks, tensorflow",
        "4 ranks, torch",
    ]


def test_only_sessions_of_one_process_run_beside_others() -> None:
    for stage in stages():
        names = {one.name for lane in stage for one in lane}
        assert len(stage) == 1 or names == {"units", "1 rank, tensorflow", "1 rank, torch"}


def test_the_ranks_add_up_and_only_the_first_writes_a_report() -> None:
    four = next(one for one in sessions() if one.name == "4 ranks, torch")
    words = [*four.command, "report.xml", *four.rest]
    assert [words[at + 1] for at, word in enumerate(words) if word == "-n"] == ["1", "3"]
    assert words.count("--junitxml") == 1
    assert four.environment["KERAS_BACKEND"] == "torch"


def test_a_report_is_counted(tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    report.write_text(REPORT)
    assert counts(report) == (3, 3, 1)


def test_a_missing_report_counts_nothing(tmp_path: Path) -> None:
    assert counts(tmp_path / "none.xml") == (0, 0, 0)


def test_what_took_longest_is_named_first(tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    cases = "".join(f'<testcase name="t{n}" time="{n}.5"/>' for n in (1, 12, 3))
    report.write_text(f"<testsuite>{cases}</testsuite>")
    assert slowest(report, 2) == ("  12.5 s  t12", "   3.5 s  t3")
    assert slowest(tmp_path / "none.xml") == ()


def test_a_session_that_crashes_without_a_report_has_failed(tmp_path: Path) -> None:
    outcome = execute(session("print('last words'); import os; os._exit(139)"), tmp_path)
    assert (outcome.passed, outcome.failed) == (0, 1)
    assert outcome.tail == "last words"


def test_a_session_whose_report_is_fine_but_whose_exit_code_is_not_has_failed(
    tmp_path: Path,
) -> None:
    program = (
        "import sys; open(sys.argv[1], 'w').write('<testsuite tests=\"2\"/>'); sys.exit('rank 1')"
    )
    outcome = execute(session(program), tmp_path)
    assert (outcome.passed, outcome.failed) == (2, 1)


def test_a_session_that_hangs_is_stopped_and_has_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "TIMEOUT_S", 0.5)
    outcome = execute(session("import signal; signal.pause()"), tmp_path)
    assert outcome.failed == 1


def test_a_session_that_passes_is_silent(tmp_path: Path) -> None:
    program = "import sys; open(sys.argv[1], 'w').write('<testsuite tests=\"2\"/>')"
    outcome = execute(session(program), tmp_path)
    assert (outcome.passed, outcome.failed, outcome.tail) == (2, 0, "")


def test_the_verdict_adds_up_all_sessions() -> None:
    both = [Outcome(5, 0, 1, 30.0), Outcome(4, 2, 0, 90.0)]
    assert verdict(both, 93.0) == "9 passed, 2 failed, 1 skipped in 1.6 min"


def test_words_that_choose_no_session_are_a_failure() -> None:
    assert main(["no such session"]) == 1
