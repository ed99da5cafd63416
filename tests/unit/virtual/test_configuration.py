"""The text that describes a virtual centre to Slurm, and who may make one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from deploy.virtual.hosts import Host
from deploy.virtual.packages import install_missing, name_as_slurm_does
from deploy.virtual.slurm import configuration

_HOSTS = (Host("login", "10.77.0.1", 11), Host("n1", "10.77.0.2", 12), Host("n2", "10.77.0.3", 13))


def test_the_first_host_controls_and_the_others_are_nodes() -> None:
    lines = configuration(Path("/c"), _HOSTS, cpus=3).splitlines()
    assert "SlurmctldHost=login(10.77.0.1)" in lines
    assert [line.split()[:3] for line in lines if line.startswith("NodeName")] == [
        ["NodeName=n1", "NodeAddr=10.77.0.2", "CPUs=3"],
        ["NodeName=n2", "NodeAddr=10.77.0.3", "CPUs=3"],
    ]
    assert [line.split()[1] for line in lines if line.startswith("Partition")] == [
        "Nodes=n1,n2",
        "Nodes=n1,n2",
    ]


def test_all_of_slurms_files_lie_in_its_folder() -> None:
    lines = configuration(Path("/c"), _HOSTS, cpus=1).splitlines()
    files = [line.partition("=")[2].removeprefix("socket=") for line in lines if "=/" in line]
    assert len(files) == 9
    assert {file for file in files if not file.startswith("/c/")} == {"/mnt"}


def test_only_root_makes_a_centre(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(PermissionError, match=r"sudo apt-get install .* slurmd"):
        install_missing()


def test_a_library_gets_the_name_by_which_slurm_opens_it_once(tmp_path: Path) -> None:
    library = tmp_path / "libpmix.so.2"
    library.write_text("PMIx")
    for _ in range(2):
        name_as_slurm_does([library])
    assert (tmp_path / "libpmix.so").read_text() == "PMIx"
