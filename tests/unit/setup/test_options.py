from __future__ import annotations

from pathlib import Path

import pytest

from deploy.setup.options import Options, mpi_from_environment, pinned, requirements

CHECKOUT = Path(__file__).resolve().parents[3]
PYPROJECT = CHECKOUT / "pyproject.toml"


def names(options: Options) -> set[str]:
    return {one.split("=")[0].split(">")[0] for one in requirements(options, PYPROJECT)}


def test_switches_are_read_from_the_environment() -> None:
    assert Options.from_environment({}) == Options(torch=False, gpu=False)
    assert Options.from_environment({"TORCH": "1", "GPU": ""}) == Options(torch=True, gpu=False)
    assert Options.from_environment({"TORCH": "no", "GPU": "yes"}) == Options(gpu=True)
    assert Options.from_environment({"HUB": "on"}) == Options(hub=True)


def test_a_switch_that_is_neither_on_nor_off_is_refused_with_its_value() -> None:
    with pytest.raises(ValueError, match="TORCH is 1 or 0, but got TORCH=maybe"):
        Options.from_environment({"TORCH": "maybe"})


@pytest.mark.parametrize(
    "installed", [Options(torch=True), Options(gpu=True), Options(hub=True), Options()]
)
def test_what_an_environment_has_stays_without_being_asked_for(installed: Options) -> None:
    assert Options().including(installed) == installed


def test_an_environment_tells_its_options_by_its_packages() -> None:
    assert Options.of({}) == Options()
    assert Options.of({"tensorflow-cpu": "2.21.0", "torch": "2.13.0"}) == Options(torch=True)
    assert Options.of({"tensorflow": "2.21.0"}) == Options(gpu=True)
    assert Options.of({"jupyterhub": "6.1.1"}) == Options(hub=True)


def test_torch_is_installed_only_where_it_is_asked_for() -> None:
    assert "torch" not in names(Options())
    assert "torch" in names(Options(torch=True))


def test_the_hub_is_installed_only_where_it_is_asked_for() -> None:
    assert not {"jupyterhub", "batchspawner"} & names(Options())
    assert {"jupyterhub", "batchspawner"} <= names(Options(hub=True))


def test_an_environment_has_one_mpi() -> None:
    assert mpi_from_environment({}) == mpi_from_environment({"MPI": ""}) == "openmpi"
    assert mpi_from_environment({"MPI": "mpich"}) == "mpich"
    with pytest.raises(ValueError, match="MPI is openmpi or mpich, but got MPI=lam"):
        mpi_from_environment({"MPI": "lam"})
    for mpi, other in (("openmpi", "mpich"), ("mpich", "openmpi")):
        found = {one.partition("==")[0] for one in requirements(Options(), PYPROJECT, mpi)}
        assert mpi in found
        assert other not in found


def test_tensorflow_is_the_one_for_cpus_or_the_one_for_gpus() -> None:
    assert "tensorflow-cpu" in names(Options())
    assert names(Options(gpu=True)) >= {"tensorflow[and-cuda]"}
    assert "tensorflow-cpu" not in names(Options(gpu=True))


def test_every_requirement_is_pinned_by_the_constraints() -> None:
    constraints = (CHECKOUT / "deploy" / "constraints.txt").read_text().replace("_", "-")
    for name in names(Options(torch=True, hub=True)):
        assert pinned(constraints, name)


def test_a_package_without_a_pin_is_named() -> None:
    with pytest.raises(ValueError, match="must pin pip"):
        pinned("numpy==1\n", "pip")


def test_constraints_hold_no_local_version_which_an_index_would_not_have() -> None:
    assert "+" not in (CHECKOUT / "deploy" / "constraints.txt").read_text()
