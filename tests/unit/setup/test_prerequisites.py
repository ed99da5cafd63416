from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from deploy.setup.prerequisites import Machine, missing, this_machine, unusable

COMPLETE = Machine(
    python=(3, 11),
    tools=frozenset({"g++", "gcc", "make", "cmake", "patch"}),
    cmake=(3, 25),
    has_venv=True,
    has_headers=True,
)


def test_a_complete_machine_lacks_nothing() -> None:
    assert missing(COMPLETE) == ()


@pytest.mark.parametrize("tool", ["g++", "gcc", "make", "cmake", "patch"])
def test_a_missing_tool_is_named_with_the_command_that_installs_it(tool: str) -> None:
    (message,) = missing(replace(COMPLETE, tools=COMPLETE.tools - {tool}))
    assert f"sudo apt-get install -y {tool}" in message


def test_npm_is_needed_for_the_hub_alone() -> None:
    (message,) = missing(COMPLETE, hub=True)
    assert "sudo apt-get install -y npm" in message
    assert missing(replace(COMPLETE, tools=COMPLETE.tools | {"npm"}), hub=True) == ()


def test_everything_missing_is_one_command() -> None:
    bare = Machine((3, 11), frozenset(), None, has_venv=False, has_headers=False)
    (message,) = missing(bare)
    assert "install -y g++ gcc make cmake patch python3.11-dev python3.11-venv" in message


def test_an_old_cmake_is_told_both_versions() -> None:
    (message,) = missing(replace(COMPLETE, cmake=(3, 18)))
    assert "3.21 or newer" in message
    assert "3.18 is first in PATH" in message


def test_another_python_is_told_how_to_choose_the_right_one() -> None:
    (message,) = missing(replace(COMPLETE, python=(3, 12)))
    assert "but got 3.12" in message
    assert "make setup PYTHON=python3.11" in message


def test_the_machine_is_really_looked_at(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert this_machine().tools == frozenset()
    assert this_machine().cmake is None


@pytest.mark.parametrize("name", ["a b", "c++", "(old)", "x[1]"])
def test_a_cache_whose_name_breaks_horovods_build_is_refused(name: str) -> None:
    (message,) = unusable(Path("/home/me/code"), Path("/home/me") / name)
    assert repr(f"/home/me/{name}") in message
    assert "XDG_CACHE_HOME=" in message


def test_a_checkout_with_a_space_in_its_path_is_refused() -> None:
    (message,) = unusable(Path("/home/me/my code"), Path("/home/me/.cache"))
    assert "'/home/me/my code'" in message


def test_plain_folders_are_fine() -> None:
    assert unusable(Path("/home/me/c++"), Path("/home/me/.cache/interactive_dl")) == ()
