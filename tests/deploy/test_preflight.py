"""The doctor on compute nodes of a real Slurm and on hosts that ssh reaches, fit ones and ones that
are asked for wrongly.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import interactive_dl as idl
from deploy.virtual import SSH_VARIABLE
from interactive_dl import cli
from interactive_dl.cluster._doctor_checks import Check

# Its ranks each start alone, as under the mpiexec of another MPI.
FAKE_MPIEXEC = f"""#!{sys.executable}
import subprocess, sys
if "--version" in sys.argv:
    print("HYDRA build details:\\n    Version:                                 5.0.2")
else:
    program = sys.argv[sys.argv.index({sys.executable!r}):]
    sys.exit(max(subprocess.call(program) for _ in range(2)))
"""


@pytest.fixture(autouse=True)
def own_ipython_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    yield tmp_path
    assert not [path for path in tmp_path.rglob("*") if "preflight" in path.name]
    assert not _output(["squeue", "--noheader"])
    assert not _output(["srun", "--nodes=4", "sh", "-c", "ls /dev/shm"])


def test_fit_nodes_pass_with_their_figures() -> None:
    report = idl.Cluster("slurm", nodes=2, engines_per_node=2, walltime_min=5).doctor()
    assert [one for one in report.checks if not one.ok] == []
    found = {one.name: one.value for one in report.checks}
    assert found["nodes"] == "n1, n2"
    assert found["ranks"] == "2 on n1, 2 on n2"
    assert "10.77.0.1 on login" in found["address of controller"]
    assert "GB/s at least (n1-n2)" in found["links between nodes"]
    assert found["allreduce, all nodes"].startswith("4 ranks: 8 B")


def test_a_controller_on_localhost_and_worlds_of_size_1_are_diagnosed(tmp_path: Path) -> None:
    asked = {"nodes": 2, "walltime_min": 5, "interface": "lo"}
    failed = _failed(idl.Cluster("slurm", environment=_foreign(tmp_path), **asked))
    assert set(failed) >= {"address of controller", "one MPI", "allreduce, all nodes"}
    assert "which on n1, n2 is the node itself" in failed["address of controller"].cause
    assert "interface='eth0' (10.77.0.1)" in failed["address of controller"].fix
    assert "is of MPICH 5.0.2" in failed["one MPI"].cause
    assert "alone in a world of size 1" in failed["allreduce, all nodes"].cause


def test_a_folder_that_nodes_do_not_see_is_diagnosed() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IPYTHONDIR", "/dev/shm/of-this-host-alone")
        report = idl.Cluster("slurm", nodes=1, walltime_min=5).doctor()
    assert not report.ok
    (job,) = report.checks
    assert "JobLaunchFailure" in job.cause
    assert "IPYTHONDIR" in job.fix


def test_a_request_that_can_never_be_met_is_told() -> None:
    (job,) = idl.Cluster("slurm", nodes=2, partition="short", walltime_min=5).doctor().checks
    assert job.value == "never ran"
    assert "can never start" in job.cause


def test_fit_hosts_pass_with_the_same_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    site = tmp_path / "site.toml"
    site.write_text(f"[ssh]\nssh_options = {json.dumps(_ssh_options())}\n")
    monkeypatch.setenv("IDL_SITE_PROFILE", str(site))
    assert cli.main(["doctor", "--json", "--cluster", "ssh", "hosts=n1,n2:2"]) == 0
    found = {one["name"]: one["value"] for one in json.loads(capsys.readouterr().out)["checks"]}
    assert found["nodes"] == "n1, n2"
    assert found["ranks"] == "1 on n1, 2 on n2"
    assert "10.77.0.1 on login" in found["address of controller"]
    assert found["shared folder"] == str(tmp_path)
    assert "GB/s at least (n1-n2)" in found["links between nodes"]
    assert found["allreduce, all nodes"].startswith("3 ranks: 8 B")


def test_hosts_that_are_asked_for_wrongly_are_diagnosed_in_the_same_words(tmp_path: Path) -> None:
    asked = {"ssh_options": _ssh_options()}
    deaf = idl.Cluster("ssh", hosts=["n1", "n9", "10.77.0.2"], interface="lo", **asked)
    mixed = idl.Cluster("ssh", hosts=["n1", "n2"], environment=_foreign(tmp_path), **asked)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IPYTHONDIR", "/dev/shm/of-this-host-alone")
        blind = idl.Cluster("ssh", hosts=["n2"], **asked)
    with ThreadPoolExecutor() as doctors:
        unreached, apart, unseen = doctors.map(_failed, (deaf, mixed, blind))
    assert set(unreached) == {"host n9", "host 10.77.0.2", "address of controller"}
    assert "Could not resolve" in unreached["host n9"].cause
    assert "the same host as n1" in unreached["host 10.77.0.2"].cause
    assert "which on n1 is the node itself" in unreached["address of controller"].cause
    assert "'ssh', ..., interface='eth0' (10.77.0.1)" in unreached["address of controller"].fix
    assert set(apart) >= {"one MPI", "allreduce, all nodes", "ranks"}
    assert "is of MPICH 5.0.2" in apart["one MPI"].cause
    assert "alone in a world of size 1" in apart["allreduce, all nodes"].cause
    assert set(unseen) == {"shared folder"}
    assert "IPYTHONDIR" in unseen["shared folder"].fix


def _ssh_options() -> list[str]:
    return ["-F", os.environ[SSH_VARIABLE]]


def _foreign(folder: Path) -> dict[str, str]:
    """An environment in which the first mpiexec is that of another MPI."""
    fake = folder / "bin" / "mpiexec"
    fake.parent.mkdir()
    fake.write_text(FAKE_MPIEXEC)
    fake.chmod(0o755)
    ours = Path(sys.executable).parent
    return {"PATH": os.pathsep.join([str(fake.parent), str(ours), os.environ["PATH"]])}


def _failed(cluster: idl.Cluster) -> dict[str, Check]:
    return {one.name: one for one in cluster.doctor().checks if not one.ok}


def _output(words: list[str]) -> str:
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True, timeout=30)
    return done.stdout.strip()
