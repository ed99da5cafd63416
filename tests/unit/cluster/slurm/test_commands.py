"""Slurm's commands, as far as no Slurm is needed."""

from __future__ import annotations

from pathlib import Path

import pytest

from interactive_dl.cluster.slurm import commands
from interactive_dl.errors import AllocationRefusedError, RequestError, SchedulerError


def test_nothing_of_a_hub_or_of_another_job_is_exported() -> None:
    kept = {"HOME": "/h", "KERAS_BACKEND": "torch", "SLURM_CONF": "/c", "SBATCH_ACCOUNT": "a"}
    secret = dict.fromkeys(
        ["JUPYTERHUB_API_TOKEN", "JPY_API_TOKEN", "SLURM_JOB_ID", "OMPI_COMM_WORLD_SIZE"], "x"
    )
    assert commands.exported(kept | secret) == kept


def test_defaults_for_what_is_typed_by_hand_do_not_hide_jobs_and_nodes() -> None:
    defaults = dict.fromkeys(["SQUEUE_PARTITION", "SINFO_PARTITION", "SCANCEL_STATE"], "x")
    assert commands.exported(defaults) == {}


def test_variables_of_sbatch_do_not_beat_what_the_script_says(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seen, script = tmp_path / "seen", tmp_path / "job.sh"
    _command(monkeypatch, tmp_path, "sbatch", f"env | grep ^SBATCH_ > {seen}; echo 7")
    written = ["--partition=gpu", "--time=5", "--mem=1M", "--no-requeue", "--gpus-per-node=1"]
    lines = [f"#SBATCH {words}" for words in [*written, "-A phys"]]
    script.write_text("\n".join(["#!/bin/bash", *lines, "true"]))
    for name in (
        *("PARTITION", "TIMELIMIT", "MEM_PER_CPU", "REQUEUE", "GPUS_PER_NODE", "ACCOUNT"),
        *("ARRAY_INX", "WAIT", "QOS"),
    ):
        monkeypatch.setenv(f"SBATCH_{name}", "x")
    assert commands.submit(script) == 7
    assert seen.read_text() == "SBATCH_QOS=x\n"


@pytest.mark.parametrize("said", ["Welcome!\\n\\n17;cluster\\n", "17\\n", "2 notes:\\n17\\nBye\\n"])
def test_a_jobs_number_is_found_among_a_centres_own_words(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, said: str
) -> None:
    script = tmp_path / "job.sh"
    script.touch()
    _command(monkeypatch, tmp_path, "sbatch", f"printf '{said}'")
    assert commands.submit(script) == 17
    _command(monkeypatch, tmp_path, "sbatch", "echo try again later")
    with pytest.raises(AllocationRefusedError, match="sbatch says: try again later"):
        commands.submit(script)


def test_an_unknown_interface_is_answered_with_those_that_there_are() -> None:
    with pytest.raises(RequestError, match=r"got interface='ib7'\. There are: .*127\.0\.0\.1"):
        commands.listen_address("ib7")


def test_a_controller_of_slurms_without_address_is_answered_with_the_option_that_helps(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _command(monkeypatch, tmp_path, "scontrol", "echo 'SlurmctldHost[0] = no.such.invalid'")
    with pytest.raises(SchedulerError, match=r"for no\.such\.invalid .*interface='eth0'"):
        commands.listen_address(None)


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
    _command(monkeypatch, tmp_path, "srun", f"cat >&2 <<END\n{said}\nEND")
    assert commands.plug_ins() == ("pmix", "none", "pmi2")


def test_bytes_of_another_encoding_are_read_past(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _command(monkeypatch, tmp_path, "sinfo", r"printf 'n1|drained|L\374fter\n'")
    assert commands.unfit_nodes(["n1"]) == {"n1": "drained (L\N{REPLACEMENT CHARACTER}fter)"}


def test_a_command_that_cannot_be_started_is_slurm_that_does_not_answer(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _command(monkeypatch, tmp_path, "squeue", "").chmod(0o600)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SchedulerError, match=r"squeue could not be started: .*ermission"):
        commands.listing([1])


def test_a_job_without_nodes_is_nothing_to_ask_slurm_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert commands.node_names("") == ()


def test_what_slurm_does_not_say_of_nodes_is_not_remembered(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _command(monkeypatch, tmp_path, "scontrol", "echo fork failed >&2; exit 1")
    with pytest.raises(SchedulerError, match="which nodes n\\[8-9\\] are: fork failed"):
        commands.node_names("n[8-9]")
    _command(monkeypatch, tmp_path, "scontrol", "echo n8; echo n9")
    assert commands.node_names("n[8-9]") == ("n8", "n9")


def test_a_machine_without_slurm_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(SchedulerError, match="there is no squeue in /nowhere"):
        commands.listing([1])


def _command(monkeypatch: pytest.MonkeyPatch, folder: Path, name: str, lines: str) -> Path:
    """Put a command of Slurm's into ``PATH`` that does what these lines of a shell say."""
    path = folder / name
    path.write_text(f"#!/bin/sh\n{lines}\n")
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return path
