"""What the steward of a job says about the world of engines in it, on disk for notebooks."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from interactive_dl.telemetry import whole

_LOG = logging.getLogger("interactive_dl.cluster")

Stage = Literal["running", "leaving", "restarting", "over"]


@dataclass(frozen=True)
class World:
    """A world of engines in a job.

    Attributes:
        job: its number.
        ids: engine ids, by rank.
        hosts: nodes that it runs on, in the order of the ranks.
        stage: ``leaving`` where all that runs was asked to let go of the engines; ``restarting``
            where the engines have ended and others start; ``over`` where none will.
        reason: why, in words.
    """

    job: int
    ids: tuple[int, ...]
    hosts: tuple[str, ...]
    stage: Stage = "running"
    reason: str = ""

    def write(self, folder: Path) -> None:
        """Leave it for other processes: a reader sees the whole file or none.

        Engines are looked after even where nothing can be written, such as over a quota.
        """
        try:
            whole.write(_path(folder, self.job), json.dumps(asdict(self)))
        except OSError as error:
            _LOG.warning("Notebooks are not told how the engines stand: %s", error)

    @classmethod
    def read(cls, folder: Path, job: int) -> World | None:
        """Read what ``write`` wrote; None before that."""
        try:
            told = json.loads(_path(folder, job).read_text())
        except FileNotFoundError:
            return None
        return cls(**{**told, "ids": tuple(told["ids"]), "hosts": tuple(told["hosts"])})


def of_others(folder: Path, job: int) -> frozenset[int]:
    """Ids of engines that were started in other jobs of the cluster."""
    jobs = {int(path.stem.removeprefix("job-")) for path in folder.glob("job-*.json")} - {job}
    found = (World.read(folder, other) for other in jobs)
    return frozenset(engine for world in found if world is not None for engine in world.ids)


def end(folder: Path, job: int) -> None:
    """Ask the steward to end at once, whatever runs."""
    _order(folder, job).touch()


def is_to_end(folder: Path, job: int) -> bool:
    """Whether somebody has asked for that, or the whole cluster is gone.

    A file system that gives an error, such as a stale handle, says neither.
    """
    try:
        return _order(folder, job).exists() or not folder.exists()
    except OSError:
        return False


def _path(folder: Path, job: int) -> Path:
    return folder / f"job-{job}.json"


def _order(folder: Path, job: int) -> Path:
    return folder / f"job-{job}.end"
