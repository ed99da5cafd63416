"""What the machine must have before anything slow begins."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

PYTHON = (3, 11)
# CMake reads the toolchain file from the environment since 3.21.
CMAKE_AT_LEAST = (3, 21)
_PACKAGES = {
    "g++": "g++",
    "gcc": "gcc",
    "make": "make",
    "cmake": "cmake",
    "patch": "patch",
    "npm": "npm",
}


@dataclass(frozen=True)
class Machine:
    """What was found.

    Attributes:
        python: version of the interpreter that runs this.
        tools: which of the build tools are on ``PATH``.
        cmake: version of cmake, if it is there.
        has_venv: whether the interpreter can make virtual environments with pip in them.
        has_headers: whether ``Python.h`` is installed.
    """

    python: tuple[int, int]
    tools: frozenset[str]
    cmake: tuple[int, int] | None
    has_venv: bool
    has_headers: bool


def this_machine() -> Machine:
    """Look at the machine that this runs on."""
    return Machine(
        python=sys.version_info[:2],
        tools=frozenset(tool for tool in _PACKAGES if shutil.which(tool)),
        cmake=_cmake_version(),
        has_venv=all(importlib.util.find_spec(name) for name in ("venv", "ensurepip")),
        has_headers=(Path(sysconfig.get_path("include")) / "Python.h").exists(),
    )


def missing(machine: Machine, *, hub: bool = False) -> tuple[str, ...]:
    """One message for each thing that is missing, with what to type; empty if all is there.

    Args:
        machine: what was found.
        hub: whether JupyterHub is wanted, whose proxy comes by npm.
    """
    if machine.python != PYTHON:
        return (_wrong_python(machine.python),)
    needed = [tool for tool in _PACKAGES if hub or tool != "npm"]
    packages = [_PACKAGES[tool] for tool in needed if tool not in machine.tools]
    packages += [] if machine.has_headers else ["python3.11-dev"]
    packages += [] if machine.has_venv else ["python3.11-venv"]
    messages = []
    if packages:
        names = " ".join(packages)
        messages.append(f"Missing: {names}. Type: sudo apt-get install -y {names}")
    if machine.cmake is not None and machine.cmake < CMAKE_AT_LEAST:
        messages.append(
            f"Horovod's build needs cmake {_dotted(CMAKE_AT_LEAST)} or newer, but"
            f" {_dotted(machine.cmake)} is first in PATH. Type: python3 -m pip install --user"
            " 'cmake<4', and put ~/.local/bin first in PATH."
        )
    return tuple(messages)


def unusable(checkout: Path, cache: Path) -> tuple[str, ...]:
    """One message for each folder that Horovod cannot be built in, because of its name.

    Args:
        checkout: where ``.venv`` is made.
        cache: where the wheel is built.
    """
    messages = []
    if re.search(r"\s", str(checkout)):
        messages.append(
            f"The checkout's path may hold no space, but is {str(checkout)!r}: move it."
        )
    # Horovod's CMake takes its own path for a regular expression.
    if re.search(r"[\s+*?^$()\[\]|\\]", str(cache)):
        messages.append(
            "The cache's path may hold no space and none of + * ? ^ $ ( ) [ ] | \\, but is"
            f" {str(cache)!r}. Type: XDG_CACHE_HOME=/var/tmp/$USER make setup"
        )
    return tuple(messages)


def _wrong_python(version: tuple[int, int]) -> str:
    return (
        f"Set-up runs under Python {_dotted(PYTHON)}, but got {_dotted(version)}. Type: sudo"
        " apt-get install -y python3.11 python3.11-venv python3.11-dev; make setup"
        " PYTHON=python3.11"
    )


def _cmake_version() -> tuple[int, int] | None:
    if shutil.which("cmake") is None:
        return None
    shown = subprocess.run(["cmake", "--version"], capture_output=True, text=True, check=False)
    found = re.search(r"version (\d+)\.(\d+)", shown.stdout)
    return (int(found[1]), int(found[2])) if found else None


def _dotted(version: tuple[int, int]) -> str:
    return ".".join(map(str, version))
