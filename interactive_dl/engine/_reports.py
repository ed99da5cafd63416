"""What all ranks measured, gathered without making a step wait for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import psutil

from interactive_dl.engine import _gpu
from interactive_dl.engine._phases import Phases
from interactive_dl.engine._position import Position
from interactive_dl.telemetry.spread import PHASES, RESOURCES

if TYPE_CHECKING:
    from interactive_dl.engine._links import Gathering
    from interactive_dl.engine.group import Group


@dataclass(frozen=True)
class Report:
    """A moment of the training, all ranks together.

    Attributes:
        position: when it was.
        learning_rate: of the step that had just ended.
        metrics: means over the ranks.
        times: of each phase, seconds per step, float, shape (ranks,).
        resources: ``cpu_percent`` (100 is one core), ``rss_bytes``, ``gpu_percent`` and
            ``gpu_memory_bytes``, float, shape (ranks,); the last two are empty where a rank has no
            GPU, or it does not tell.
    """

    position: Position
    learning_rate: float
    metrics: dict[str, float]
    times: dict[str, np.ndarray]
    resources: dict[str, np.ndarray]

    @property
    def step_s(self) -> float:
        """Seconds per step of the slowest rank."""
        return float(np.sum([*self.times.values()], axis=0).max())


@dataclass(frozen=True)
class _Pending:
    position: Position
    learning_rate: float
    names: tuple[str, ...]
    gathering: Gathering


class Reports:
    """One gathering at a time; every rank calls ``begin`` after the same step.

    Args:
        group: the ranks.
    """

    def __init__(self, group: Group) -> None:
        self._group = group
        self._process = psutil.Process()
        self._process.cpu_percent()  # the first call says nothing yet
        self._gpu = _gpu.Meter()
        self._pending: _Pending | None = None

    @property
    def is_pending(self) -> bool:
        """Whether a gathering is under way."""
        return self._pending is not None

    def begin(
        self,
        position: Position,
        learning_rate: float,
        metrics: Mapping[str, float],
        phases: Phases,
    ) -> None:
        """Send this rank's numbers; the same names of metrics on every rank."""
        names = tuple(sorted(metrics))
        mine = [
            *(float(metrics[name]) for name in names),
            *(getattr(phases, name) for name in PHASES),
            self._process.cpu_percent(),
            float(self._process.memory_info().rss),
            *self._gpu.usage(),
        ]
        numbers = np.array(mine, dtype=np.float64)
        gathering = self._group.links.begin_allgather(numbers)
        self._pending = _Pending(position, learning_rate, names, gathering)

    def poll(self) -> Report | None:
        """The report, once everybody's numbers are here."""
        if self._pending is None or not self._pending.gathering.is_there():
            return None
        return self._complete()

    def finish(self) -> Report | None:
        """Wait for the report that is under way, if one is.

        Raises:
            PeerFailedError: a rank failed before it sent its numbers.
        """
        if self._pending is None:
            return None
        self._pending.gathering.finish()
        return self._complete()

    def abandon(self) -> None:
        """Give up the report that is under way: the training has ended, or lost a rank."""
        if self._pending is not None:
            self._pending.gathering.abandon()
            self._pending = None

    def _complete(self) -> Report:
        pending, self._pending = self._pending, None
        assert pending is not None
        values = pending.gathering.values
        by_rank = values.T
        count = len(pending.names)
        metrics = values[:, :count].mean(axis=0)
        resources = dict(zip(RESOURCES, by_rank[-len(RESOURCES) :], strict=True))
        if np.isnan(by_rank[-2:]).any():
            resources |= dict.fromkeys(RESOURCES[2:], np.empty(0))
        return Report(
            pending.position,
            pending.learning_rate,
            metrics=dict(zip(pending.names, metrics.tolist(), strict=True)),
            times=dict(zip(PHASES, by_rank[count : -len(RESOURCES)], strict=True)),
            resources=resources,
        )
