"""What starts the engines of a job: command lines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from interactive_dl.cluster import Cluster
from interactive_dl.cluster.slurm.launchers import LAUNCHERS, WITHOUT_MPI, Ranks, fitting, launcher
from interactive_dl.cluster.slurm.request import request_of
from interactive_dl.errors import RequestError
from interactive_dl.telemetry.commands import ENDS_ALL

SIX = Ranks(nodes=2, per_node=3, cpus=4, bind=False)
PINNED = Ranks(nodes=2, per_node=3, cpus=4, bind=True)


def test_mpiexec_is_the_default_and_starts_ranks_on_the_nodes_that_it_is_given() -> None:
    mpiexec = launcher(request_of({}).launcher)
    command = mpiexec.command(SIX)
    assert command == ("mpiexec", "-n", "6", "--bind-to", "none")
    placed = mpiexec.placed([*command, "python", "-n", "9"], ["n1", "n3"], 2)
    assert placed == [
        "mpiexec",
        "-n",
        "4",
        "--host",
        "n1:2,n3:2",
        *command[3:],
        "python",
        "-n",
        "9",
    ]
    assert "slot:PE=4:oversubscribe" in mpiexec.command(PINNED)


def test_ranks_under_mpiexec_outlive_each_other_on_one_node() -> None:
    mpiexec = launcher("mpiexec")
    assert "--with-ft" in mpiexec.command(Ranks(nodes=1, per_node=3, cpus=4, bind=False))
    assert (mpiexec.survives(1), mpiexec.survives(2)) == (True, False)


@pytest.mark.parametrize("plug_in", ["pmix", "pmi2"])
def test_slurm_itself_starts_ranks_that_all_end_with_one(plug_in: str) -> None:
    srun = launcher(f"srun:{plug_in}")
    assert srun.plug_in == plug_in
    command = srun.command(SIX)
    assert command[:3] == ("srun", "-n", "6")
    assert {f"--mpi={plug_in}", "--kill-on-bad-exit=1", "--quit-on-interrupt"} <= set(command)
    assert "--cpu-bind=cores" in srun.command(PINNED)
    placed = srun.placed([*command, "python"], ["n3"], 3)
    assert placed[:5] == ["srun", "-n", "3", "--nodes=1", "--ntasks-per-node=3"]
    assert placed[5:] == ["--nodelist=n3", *command[3:], "python"]
    assert not srun.survives(1)


@pytest.mark.parametrize(
    ("options", "starts", "all_end"),
    [
        ({}, "-- mpiexec -n 4 ", False),
        ({"launcher": "srun:pmix"}, "-- srun -n 4 --overlap --mpi=pmix ", True),
        ({"launcher": "srun:pmi2"}, "-- srun -n 4 --overlap --mpi=pmi2 ", True),
        ({"launcher": "srun:pmix", "collectives": "gloo"}, "--overlap --mpi=none ", False),
    ],
)
def test_a_job_script_shows_what_starts_the_engines(
    options: dict[str, Any],
    starts: str,
    all_end: bool,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("IDL_SITE_PROFILE", str(tmp_path / "none"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    script = Cluster("slurm", nodes=2, engines_per_node=2, **options).job_script()
    assert starts in script
    assert (f"export {ENDS_ALL}=1" in script) == all_end
    assert 'export OMPI_MCA_btl_sm_backing_directory="$IDL_SCRATCH"' in script
    assert 'export PRTE_MCA_prte_tmpdir_base="$IDL_SCRATCH"' in script


def test_launchers_are_told_by_the_mpi_that_they_fit() -> None:
    assert fitting("Open MPI") == ("mpiexec", "srun:pmix")
    assert fitting("MPICH") == ("srun:pmi2",)
    assert fitting("Intel MPI") == ()


def test_engines_without_mpi_end_nobody_else() -> None:
    command = WITHOUT_MPI.command(SIX)
    assert command[:3] == ("srun", "-n", "6")
    assert {"--mpi=none", "--kill-on-bad-exit=0", "--no-kill", "--cpus-per-task=4"} <= set(command)
    assert "--wait=0" in command, "a site's WaitTime would end the others"
    assert "--cpu-bind=cores" in WITHOUT_MPI.command(PINNED)
    assert WITHOUT_MPI.survives(2)


def test_srun_is_told_the_nodes_by_name() -> None:
    placed = WITHOUT_MPI.placed([*WITHOUT_MPI.command(SIX), "python"], ["n1", "n3"], 2)
    assert placed[:3] == ["srun", "-n", "4"]
    assert {"--nodes=2", "--ntasks-per-node=2", "--nodelist=n1,n3"} <= set(placed)
    assert placed[-1] == "python"


@pytest.mark.parametrize("name", ["prun", WITHOUT_MPI.name])
def test_another_launcher_is_refused_with_those_that_there_are(name: str) -> None:
    with pytest.raises(RequestError, match=f"one of mpiexec.*launcher='{name}'"):
        request_of({"launcher": name})


def test_only_slurms_plug_in_names_the_rank_that_has_ended_all() -> None:
    said = "Error handler invoked: status = -61, source = [slurm.pmix.7.2:13]\n"
    named = {name: one.first_to_end(said) for name, one in LAUNCHERS.items()}
    assert (named["srun:pmix"], named["mpiexec"], named["srun:none"]) == (13, None, None)
    assert launcher("srun:pmix").first_to_end("srun: error: n1: task 1: Killed") is None
