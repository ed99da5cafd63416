"""The text of a job script."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from interactive_dl.cluster.slurm.request import request_of
from interactive_dl.cluster.slurm.script import job_script
from interactive_dl.errors import RequestError


def _script(
    scratch: Path = Path("/dev/shm/s"), log: Path = Path("/home/a/50%/job.log"), **given: Any
) -> str:
    return job_script(
        request_of(given),
        name="idl-1",
        log=log,
        prefix=Path("/opt/an env"),
        scratch=scratch,
        in_scratch=("D",),
        environment={"B": "2", "A": "it's"},
        command=["mpiexec", "-n", "2", "python", "-m", "x y"],
    )


def _directives(text: str) -> list[str]:
    lines = text.splitlines()
    return [line.removeprefix("#SBATCH ") for line in lines if line.startswith("#SBATCH")]


def test_the_least_that_is_asked_for() -> None:
    assert _directives(_script()) == [
        "--job-name=idl-1",
        "--output=/home/a/50%%/job.log",
        "--open-mode=append",
        "--nodes=1",
        "--ntasks-per-node=1",
        "--cpus-per-task=1",
        "--signal=B:USR1@300",
        "--no-kill",
        "--no-requeue",
    ]


def test_all_that_can_be_asked_for() -> None:
    written = _directives(
        _script(
            nodes=2,
            engines_per_node=4,
            cpus_per_engine=8,
            gpus_per_engine=1,
            mem_gb=64,
            walltime_min=90,
            warn_min=10,
            restart=False,
            partition="gpu",
            account="phys",
            qos="high",
            constraint="a100&nvme",
            reservation="school",
            extra_directives=["--exclusive"],
        )
    )
    assert written[3:] == [
        "--nodes=2",
        "--ntasks-per-node=4",
        "--cpus-per-task=8",
        "--gpus-per-node=4",
        "--mem=61035M",
        "--time=90",
        "--signal=B:USR1@600",
        "--no-kill",
        "--partition=gpu",
        "--account=phys",
        "--qos=high",
        "--constraint=a100&nvme",
        "--reservation=school",
        "--no-requeue",
        "--exclusive",
    ]


@pytest.mark.parametrize(
    ("given", "seconds"),
    [({}, 300), ({"walltime_min": 4}, 120), ({"walltime_min": 1, "warn_min": 0.5}, 30)],
)
def test_it_is_warned_some_minutes_before_its_end(given: dict[str, Any], seconds: int) -> None:
    assert f"--signal=B:USR1@{seconds}" in _directives(_script(**given))


def test_no_warning_where_none_is_wanted() -> None:
    assert not [line for line in _directives(_script(warn_min=0)) if "signal" in line]


def test_what_a_site_refuses_is_omitted() -> None:
    written = _directives(_script(mem_gb=1, omit_directives=["mem", "cpus-per-task"]))
    assert not [line for line in written if "mem" in line or "cpus" in line]


def test_a_site_omits_what_not_every_request_has() -> None:
    assert _script(omit_directives=["mem"]) == _script()


def test_only_directives_that_there_are_can_be_omitted() -> None:
    with pytest.raises(RequestError, match=r"got memory\. There are: job-name, .*, mem, time"):
        _script(omit_directives=["memory"])


def test_set_up_comes_before_the_environment_and_that_before_the_engines() -> None:
    lines = _script(setup=["module load cuda"]).splitlines()
    setup, path, first = (
        lines.index(line)
        for line in (
            "module load cuda",
            """export PATH='/opt/an env/bin':"$PATH\"""",
            """export A='it'"'"'s'""",
        )
    )
    assert setup < path < first < lines.index("exec mpiexec -n 2 python -m 'x y'")


def test_it_is_a_shell_script_that_ends_as_mpiexec_did(tmp_path: Path) -> None:
    done = _run(tmp_path, _script(), srun="exit 0")
    assert (done.returncode, done.stdout, done.stderr) == (9, "it's 2 /dev/shm/s-7\n", "")


def test_a_path_with_a_space_is_one_word_for_sbatch() -> None:
    assert '--output="/home/a b/job.log"' in _directives(_script(log=Path("/home/a b/job.log")))


def test_jobs_that_share_a_node_share_no_folder_there(tmp_path: Path) -> None:
    kept = 'case "$*" in *keeper*) echo "$@";; *) %s;; esac'
    script = _script(tmp_path / "s", setup=["umask 0"])
    done = _run(tmp_path, script, srun=kept % _ON_THIS_HOST)
    assert done.returncode == 9
    assert (tmp_path / "s-7").stat().st_mode & 0o777 == 0o700
    kept_clean = [line for line in done.stdout.splitlines() if "_keeper.py" in line]
    assert [line.split()[-2] for line in kept_clean] == [f"{tmp_path}/s-7"]


def _link(folder: Path) -> None:
    (folder.parent / "theirs").mkdir()
    folder.symlink_to("theirs")


def _give_away(folder: Path) -> None:
    folder.mkdir()
    os.chown(folder, os.getuid() + 1, -1)


_NEEDS_ROOT = pytest.mark.skipif(os.getuid() != 0, reason="only root gives folders away")


@pytest.mark.parametrize("make", [_link, pytest.param(_give_away, marks=_NEEDS_ROOT)])
def test_a_folder_that_somebody_else_has_made_is_not_used(
    tmp_path: Path, make: Callable[[Path], None]
) -> None:
    make(tmp_path / "s-7")
    done = _run(tmp_path, _script(tmp_path / "s"), srun=_ON_THIS_HOST)
    assert (done.returncode, done.stdout) == (93, "")
    assert f"{tmp_path}/s-7 was made by somebody else, or is a link" in done.stderr


_ON_THIS_HOST = 'while [ "${1#-}" != "$1" ]; do shift; done; exec "$@"'


def _run(folder: Path, script: str, *, srun: str) -> subprocess.CompletedProcess[str]:
    """Run a job script, with an ``srun`` of this text."""
    for name, text in {"srun": srun, "mpiexec": 'echo "$A $B $D"; exit 9'}.items():
        (folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / name).chmod(0o755)
    return subprocess.run(
        ["bash", "-u", "-c", script],
        env={"PATH": f"{folder}:/usr/bin:/bin", "SLURM_JOB_ID": "7"},
        capture_output=True,
        text=True,
        check=False,
    )
