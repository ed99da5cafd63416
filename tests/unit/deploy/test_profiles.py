"""Profiles for typical sites: each makes sense, and its job script says what it is for."""

from __future__ import annotations

from pathlib import Path

import pytest

from interactive_dl.cluster import Cluster

_FOLDER = Path(__file__).resolve().parents[3] / "deploy" / "slurm"
_EXPECTED = {
    "cpu_cluster": (
        16,
        ["#SBATCH --cpus-per-task=16", "#SBATCH --exclusive", "module load python/3.11"],
    ),
    "four_gpu_nodes": (
        4,
        ["#SBATCH --gpus-per-node=4", "#SBATCH --constraint=a100", "module load cuda/12 nccl"],
    ),
    "workstation": (4, ["#SBATCH --mem=7629M", "#SBATCH --time=480"]),
}


@pytest.mark.parametrize("name", sorted(path.stem for path in _FOLDER.glob("*.toml")))
def test_a_profile_is_a_job_script(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("IDL_SITE_PROFILE", str(_FOLDER / f"{name}.toml"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    script = Cluster("slurm").job_script()
    print(script)
    lines = script.splitlines()
    engines, expected = _EXPECTED[name]
    assert set(expected) <= set(lines)
    assert any(f" -n {engines} " in line for line in lines if "mpiexec" in line)
    assert not [line for line in lines if "--mem=" in line and name == "cpu_cluster"]
