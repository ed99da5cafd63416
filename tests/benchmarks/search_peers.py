"""Who takes part in the benchmark of searches: a script each, in an environment of its own.

A script is called ``SCRIPT [OPTION] EMPTY LASTING FILE``. It starts four workers, warms them up,
tries so many empty trials and so many of half a second (a random point each), and writes when the
first began and the last had ended: {"empty": [s, s], "lasting": [s, s]}, seconds since the epoch.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import venv
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
BUILD = FOLDER.parents[1] / "build" / "benchmarks"
TIMEOUT_S = 300.0

Span = tuple[float, float]


@dataclass(frozen=True)
class Peer:
    """One of them.

    Attributes:
        name: in the tables.
        script: of this folder.
        option: its first argument, if any.
        requirement: what its environment has; empty for ours.
        empty: so many empty trials.
        rounds: that it takes part in; the slowest one would else take most of the time.
    """

    name: str
    script: str
    option: str = ""
    requirement: str = ""
    empty: int = 400
    rounds: int = 1000

    def turn(self, lasting: int, share: float) -> dict[str, Span]:
        """Take a turn.

        Args:
            lasting: so many trials of half a second.
            share: of the empty trials.

        Returns:
            When the first trial began and the last had ended, of ``empty`` and of ``lasting``.

        Raises:
            subprocess.CalledProcessError: the script failed; its log is in ``build/benchmarks``.
        """
        options = (self.option,) if self.option else ()
        count = max(4, round(self.empty * share))
        BUILD.mkdir(parents=True, exist_ok=True)
        log = BUILD / f"search-{self.script}-{self.option or 'plain'}.log"
        with tempfile.TemporaryDirectory() as folder, log.open("w") as output:
            file = Path(folder) / "told.json"
            path = str(FOLDER / f"{self.script}.py")
            # -P: the modules beside the script are no library of its environment's packages.
            words = [str(self._python()), "-P", path, *options, str(count), str(lasting), str(file)]
            subprocess.run(
                words, check=True, timeout=TIMEOUT_S, stdout=output, stderr=subprocess.STDOUT
            )
            told: dict[str, Span] = json.loads(file.read_text())
        return told | {"count": (count, lasting)}

    def _python(self) -> Path:
        return _environment(self.requirement) if self.requirement else Path(sys.executable)


def _environment(requirement: str) -> Path:
    """The Python of an environment that has a requirement; made once."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    version = f"py{sys.version_info.major}.{sys.version_info.minor}"
    folder = base / "interactive_dl" / "benchmarks" / f"{requirement}-{version}"
    python = folder / "bin" / "python"
    done = folder / "done"
    if not done.exists():
        print(f"installing {requirement} into {folder}", flush=True)
        venv.create(folder, with_pip=True, clear=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", requirement], check=True)
        done.touch()
    return python


OURS = "ours"
RAY_BEST = "Ray Tune, at its best"
DASK = "Dask, plain tasks"
PEERS = (
    Peer(OURS, "search_ours", empty=600),
    Peer(RAY_BEST, "search_ray", "best", "ray[tune]==2.60.0", empty=200),
    Peer("Ray Tune, by default", "search_ray", "default", "ray[tune]==2.60.0", empty=12, rounds=1),
    Peer("Optuna, n_jobs, journal", "search_optuna", "journal", "optuna==5.0.0", empty=1000),
    Peer("Optuna, n_jobs, in memory", "search_optuna", "memory", "optuna==5.0.0", empty=1000),
    Peer(DASK, "search_dask", "", "distributed==2026.8.0", empty=2000),
)
