"""Slurm's commands, as far as no Slurm is needed."""

from __future__ import annotations

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


def test_a_machine_without_slurm_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(SchedulerError, match="there is no squeue in /nowhere"):
        commands.listing([1])
