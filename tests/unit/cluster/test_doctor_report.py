from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from interactive_dl.cluster._doctor import Report
from interactive_dl.cluster._doctor_checks import Check
from interactive_dl.cluster._doctor_probes import ask, connection_files, mpiexec

FINE = Check("cores", True, "2")
BAD = Check("one MPI", False, "a <and> b", "they differ", "type: make setup")


def test_a_report_is_ok_only_if_every_check_is() -> None:
    assert Report((FINE,)).ok
    assert not Report((FINE, BAD)).ok


def test_every_failed_line_says_cause_and_fix() -> None:
    shown = repr(Report((FINE, BAD))).splitlines()
    assert shown[1].startswith("FAILED  one MPI")
    assert shown[2].split() == ["cause:", "they", "differ"]
    assert shown[3].strip() == "fix:   type: make setup"
    assert shown[-1] == "1 of 2 checks failed"


def test_json_holds_the_same_findings() -> None:
    read = json.loads(Report((FINE, BAD)).json())
    assert read["ok"] is False
    assert read["checks"][1] == {
        "name": "one MPI",
        "ok": False,
        "value": "a <and> b",
        "cause": "they differ",
        "fix": "type: make setup",
    }


def test_a_notebook_shows_findings_as_text_and_never_as_markup() -> None:
    shown = Report((FINE, BAD))._repr_html_()
    assert "a &lt;and&gt; b" in shown
    assert "they differ" in shown


def test_a_probe_that_breaks_tells_its_last_line_and_no_traceback() -> None:
    answer = ask("what is the time", {})
    assert answer.facts is None
    assert answer.problem.startswith("exit code 1: The probe answers one of mpi, horovod")


def test_there_may_be_no_mpiexec(tmp_path: Path) -> None:
    assert mpiexec({"PATH": str(tmp_path)}).path is None


def test_the_first_mpiexec_in_the_path_speaks_for_itself(tmp_path: Path) -> None:
    fake = tmp_path / "mpiexec"
    fake.write_text(f"#!{sys.executable}\nprint('mpiexec (Open MPI) 1.2.3')\n")
    fake.chmod(0o755)
    found = mpiexec({"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"})
    assert (found.path, found.version) == (str(fake), "mpiexec (Open MPI) 1.2.3")


def test_connection_files_are_read_with_their_permissions(tmp_path: Path) -> None:
    security = tmp_path / "profile_default" / "security"
    security.mkdir(parents=True)
    file = security / "ipcontroller-a-client.json"
    file.write_text('{"interface": "tcp://10.0.0.1", "key": "secret"}')
    file.chmod(0o640)
    (security / "cluster-a.json").write_text("{}")
    (found,) = connection_files(tmp_path)
    assert (found.path, found.mode, found.interface) == (file, 0o640, "tcp://10.0.0.1")
