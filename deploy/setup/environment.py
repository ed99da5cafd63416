"""The checkout's virtual environment, and what pip and npm put into it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.setup import commands
from deploy.setup.progress import PipPercent

_VERSIONS = """
import json, re
from importlib.metadata import distributions
normal = lambda name: re.sub(r"[-_.]+", "-", name).lower()
print(json.dumps({normal(one.metadata["Name"]): one.version for one in distributions()}))
"""
_CHECK = """
import importlib, sys
for name in sys.argv[1:]:
    horovod = importlib.import_module(name)
    assert horovod.mpi_built() and horovod.gloo_built(), f"{name} was built without MPI or Gloo"
"""


@dataclass(frozen=True)
class VirtualEnvironment:
    """A virtual environment.

    Attributes:
        folder: ``.venv``.
        log: where the output of what changes it goes.
    """

    folder: Path
    log: Path

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.folder / "bin" / "python"

    def is_alive(self) -> bool:
        """Whether its interpreter runs and has pip: a moved or half-made one does not."""
        if not self.python.exists():
            return False
        tried = subprocess.run([self.python, "-c", "import pip"], capture_output=True, check=False)
        return tried.returncode == 0

    def create(self) -> None:
        """Make it anew."""
        commands.run(
            f"Making {self.folder.name}",
            [sys.executable, "-m", "venv", "--clear", str(self.folder)],
            log=self.log,
            percent=lambda line: None,
        )

    def pip_install(self, title: str, arguments: Sequence[str], expected: int = 1) -> None:
        """Run ``pip install``; where from is the user's pip settings' matter.

        Args:
            title: what is installed, for the progress line.
            arguments: what follows ``pip install``.
            expected: how many packages it will about be.
        """
        commands.run(
            title,
            [str(self.python), "-m", "pip", "install", "--progress-bar", "off", *arguments],
            log=self.log,
            percent=PipPercent(expected),
        )

    def npm_install(self, title: str, wanted: Path) -> None:
        """Have npm put what a ``package.json`` asks for beside the Python packages, in ``hub``.

        Args:
            title: what is installed, for the progress line.
            wanted: the file; it names exact versions.
        """
        folder = self.folder / "hub"
        folder.mkdir(exist_ok=True)
        shutil.copy(wanted, folder)
        commands.run(
            title,
            ["npm", "install", f"--prefix={folder}", "--omit=dev", "--no-audit", "--no-fund"],
            log=self.log,
            percent=lambda line: None,
        )

    def versions(self) -> dict[str, str]:
        """Version by normalised name of each installed package."""
        shown = subprocess.run(
            [self.python, "-c", _VERSIONS], capture_output=True, text=True, check=True
        )
        found: dict[str, str] = json.loads(shown.stdout)
        return found

    def check_horovod(self, modules: Sequence[str]) -> None:
        """Load Horovod for each framework.

        Args:
            modules: ``horovod.tensorflow``, ``horovod.torch``.

        Raises:
            CommandFailedError: one does not load, or was built without MPI or Gloo.
        """
        commands.run(
            "Checking that Horovod loads",
            [str(self.python), "-c", _CHECK, *modules],
            log=self.log,
            percent=lambda line: None,
        )
