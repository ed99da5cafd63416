"""The doctor in this environment, and in one that is broken on purpose."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import interactive_dl as idl
from interactive_dl.cluster.environment import mpi_environment

FAKE_MPICH = f"""#!{sys.executable}
import subprocess, sys
if "--version" in sys.argv:
    print("HYDRA build details:\\n    Version:                                 5.0.2")
else:
    # Each rank starts alone, as under the mpiexec of another MPI.
    program = sys.argv[sys.argv.index({sys.executable!r}):]
    sys.exit(max(subprocess.call(program) for _ in range(2)))
"""


IDL = (sys.executable, "-c", "from interactive_dl.cli import main; raise SystemExit(main())")


def test_idl_doctor_finds_this_environment_fit_and_leaves_nothing_behind(tmp_path: Path) -> None:
    before = set(Path("/dev/shm").iterdir())
    ended = subprocess.run(
        [*IDL, "doctor", "--json"],
        # The user's own clusters are no part of this.
        env={**os.environ, "IPYTHONDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    report = json.loads(ended.stdout)
    found = {check["name"]: check for check in report["checks"]}
    assert [check for check in report["checks"] if not check["ok"]] == []
    assert (report["ok"], ended.returncode) == (True, 0)
    assert "tensorflow (mpi, gloo" in found["Horovod"]["value"]
    assert set(Path("/dev/shm").iterdir()) <= before
    assert "Open MPI" in found["one MPI"]["value"]
    one = r"{} \d+(\.\d+)? (us|ms) \(\d+(\.\d+)?(e[+-]\d+)? MB/s\)"
    figures = ", ".join(one.format(size) for size in ("8 B", "64 KB", "4 MB"))
    for through in ("MPI", "Horovod"):
        assert re.fullmatch(f"2 ranks: {figures}", found[f"allreduce, {through}"]["value"])


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> idl.cluster.Report:
    """A report from an environment whose first mpiexec is MPICH's."""
    folder = tmp_path_factory.mktemp("mpich")
    fake = folder / "mpiexec"
    fake.write_text(FAKE_MPICH)
    fake.chmod(0o755)
    path = os.pathsep.join([str(folder), mpi_environment(2)["PATH"]])
    return idl.doctor({"PATH": path})


def test_an_mpiexec_of_another_mpi_is_diagnosed(broken: idl.cluster.Report) -> None:
    check = next(one for one in broken.checks if one.name == "one MPI")
    assert not check.ok
    assert "but mpiexec" in check.cause
    assert "is MPICH 5.0.2" in check.cause
    assert str(Path(sys.prefix) / "bin") in check.fix


def test_its_worlds_of_size_1_are_seen_in_the_sums_themselves(broken: idl.cluster.Report) -> None:
    for through in ("MPI", "Horovod"):
        check = next(one for one in broken.checks if one.name == f"allreduce, {through}")
        assert "alone in a world of size 1" in check.cause


def test_everything_else_is_still_examined(broken: idl.cluster.Report) -> None:
    failed = {check.name for check in broken.checks if not check.ok}
    assert failed == {"one MPI", "allreduce, MPI", "allreduce, Horovod"}
