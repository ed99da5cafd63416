"""Slurm's commands, as far as no Slurm is needed."""

from __future__ import annotations

from pathlib import Path

import pytest

from interactive_dl.cluster.slurm import commands
from interactive_dl.errors import RequestError, SchedulerError


def test_nothing_of_a_hub_or_of_another_job_is_exported() -> None:
    kept = {"HOME": "/h", "KERAS_BACKEND": "torch", "SLURM_CONF": "/c", "SBATCH_ACCOUNT": "a"}
    secret = dict.fromkeys(
        ["JUPYTERHUB_API_TOKEN", "JPY_API_TOKEN", "SLURM_JOB_ID", "OMPI_COMM_WORLD_SIZE"], "x"
    )
    assert commands.exported(kept | secret) == kept


def test_an_unknown_interface_is_answered_with_those_that_there_are() -> None:
    with pytest.raises(RequestError, match=r"got interface='ib7'\. There are: .*127\.0\.0\.1"):
        commands.listen_address("ib7")


@pytest.mark.parametrize(
    "said",
    [
        "MPI plugin types are...\n\tpmix\n\tnone\n\tpmi2\n"
        "specific pmix plugin versions available: pmix_v4",
        "srun: MPI types are...\nsrun: pmix\nsrun: none\nsrun: pmi2",
    ],
)
def test_plug_ins_are_read_as_new_and_old_versions_of_srun_print_them(
    said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "srun").write_text(f"#!/bin/sh\ncat >&2 <<END\n{said}\nEND\n")
    (tmp_path / "srun").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert commands.plug_ins() == ("pmix", "none", "pmi2")


def test_a_machine_without_slurm_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(SchedulerError, match="there is no squeue in /nowhere"):
        commands.listing([1])
