"""What a run has told, as columns: a pure fold of its records.

Records may come in any order, twice, or with gaps: the same ones always make the same history.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import compress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from interactive_dl.telemetry import _export, _spreads
from interactive_dl.telemetry._answers import CommandStatus, knobs_after, statuses
from interactive_dl.telemetry._blocks import (
    ORIGIN,
    PHASES,
    RESOURCES,
    epochs_block,
    origin_block,
    ranks_block,
    reports_block,
    resources_block,
)
from interactive_dl.telemetry._columns import Block, Columns, Table, age_of_row
from interactive_dl.telemetry._seen import Seen
from interactive_dl.telemetry._sketches import UNTOLD, Sketch
from interactive_dl.telemetry._spreads import ResourceSpreads, TimeSpread
from interactive_dl.telemetry._thinning import ThinTable
from interactive_dl.telemetry._timeline import Timeline, age
from interactive_dl.telemetry.events import (
    RECORDER,
    CheckpointWritten,
    CommandApplied,
    CommandRefused,
    CommandSent,
    Dropped,
    Ended,
    EpochEnded,
    Evaluated,
    GroupChanged,
    KnobState,
    LogLine,
    Noted,
    Outcome,
    Progress,
    RankLost,
    Record,
    Resources,
    RunState,
    Started,
    StateChanged,
)

if TYPE_CHECKING:
    import pandas as pd

State = Literal["starting"] | RunState | Outcome
Kind = Literal["progress", "epochs", "ranks", "quantiles", "worst"]

LOG_LINES = 2000
_PROGRESS = ("step", "time_s", "epoch", "learning_rate", "samples_per_s", "step_time_s")
_EPOCHS = ("step", "time_s", "epoch", "duration_s")
_BY_STEP = ("step", "time_s", *ORIGIN)
_BY_TIME = ("time_s", *ORIGIN)

_RARE: tuple[type, ...] = (
    Started,
    Evaluated,
    CheckpointWritten,
    StateChanged,
    RankLost,
    GroupChanged,
    CommandSent,
    CommandApplied,
    CommandRefused,
    Ended,
)


@dataclass(frozen=True)
class RankHistory:
    """Where the ranks' time went, report by report.

    Attributes:
        step, time_s: of the report, shape (reports,).
        data_wait_s, compute_s, allreduce_wait_s, other_s: seconds per step, shape
            (reports, ranks); NaN where there was no such rank.
    """

    step: np.ndarray
    time_s: np.ndarray
    data_wait_s: np.ndarray
    compute_s: np.ndarray
    allreduce_wait_s: np.ndarray
    other_s: np.ndarray


@dataclass(frozen=True)
class ResourceHistory:
    """What the ranks' processes used.

    Attributes:
        time_s: seconds since the epoch, shape (reports,).
        cpu_percent, rss_bytes, gpu_percent, gpu_memory_bytes: shape (reports, ranks); NaN where
            there was no such rank, no columns where there is no GPU.
    """

    time_s: np.ndarray
    cpu_percent: np.ndarray
    rss_bytes: np.ndarray
    gpu_percent: np.ndarray
    gpu_memory_bytes: np.ndarray


class History:
    """All that is known of a run. One thread may add records while others look.

    Attributes:
        run: id of the run; empty before the first record.
        duplicates: records that came again.
        dropped: events that were dropped before they became records.
    """

    def __init__(self) -> None:
        self.run = ""
        self.duplicates = 0
        self.dropped = 0
        self._lock = threading.RLock()
        self._seen: dict[int, Seen] = {}
        self._progress, self._epochs = Table(_BY_STEP), Table(_BY_STEP)
        # What grows with the number of ranks, too, is kept in bounds.
        self._ranks, self._spread = ThinTable(_BY_STEP), ThinTable(_BY_STEP)
        self._resources, self._resource_spread = ThinTable(_BY_TIME), ThinTable(_BY_TIME)
        self._log = Timeline(keep=LOG_LINES)
        self._others: dict[type, Timeline] = {kind: Timeline() for kind in _RARE}
        self._takes: dict[type, Callable[[list[Record]], None]] = {
            Progress: self._take_reports,
            Sketch: self._take_reports,
            EpochEnded: lambda records: self._epochs.append(epochs_block(records)),
            Resources: self._take_resources,
            LogLine: self._log.extend,
            Dropped: self._take_dropped,
            Noted: lambda records: None,  # what no training tells
            **{kind: timeline.extend for kind, timeline in self._others.items()},
        }

    # -- adding ----------------------------------------------------------------------------------

    def add(self, record: Record) -> None:
        """Take one more record."""
        self.extend((record,))

    def extend(self, records: Iterable[Record]) -> None:
        """Take more records; those that came before are counted, and otherwise left out.

        Raises:
            ValueError: a record is of another run.
        """
        records = list(records)
        with self._lock:
            for run in {record.run for record in records}:
                self._check(run)
            new = self._unseen(records)
            by_kind = defaultdict[type, list[Record]](list)
            for record in new:
                by_kind[type(record.event)].append(record)
            for kind, of_kind in by_kind.items():
                self._takes[kind](of_kind)

    def _check(self, run: str) -> None:
        self.run = self.run or run
        if run != self.run:
            raise ValueError(
                f"A history is of one run, but got a record of {run!r} after some of {self.run!r}."
                " Use one History() for each run."
            )

    def _unseen(self, records: list[Record]) -> list[Record]:
        engines = {record.engine for record in records}
        for engine in engines - self._seen.keys():
            self._seen[engine] = Seen()
        if len(engines) == 1:
            (engine,) = engines
            if self._seen[engine].add_next([record.seq for record in records]):
                return records
        new = [record for record in records if self._seen[record.engine].add(record.seq)]
        self.duplicates += len(records) - len(new)
        return new

    def _take_reports(self, records: list[Record]) -> None:
        reports = reports_block(records)
        self._progress.append(reports)
        each = [record for record in records if record.event.ranks not in UNTOLD]  # type: ignore[union-attr]
        _add_chosen(self._ranks, each, ranks_block, reports if len(each) == len(records) else None)
        if len(each) < len(records):
            spread = [record for record in records if record.event.spread not in UNTOLD]  # type: ignore[union-attr]
            _add_chosen(self._spread, spread, _spreads.time_block)

    def _take_resources(self, records: list[Record]) -> None:
        _add_chosen(self._resources, records, resources_block)
        spread = [record for record in records if record.event.spread is not None]  # type: ignore[union-attr]
        _add_chosen(self._resource_spread, spread, _spreads.resource_block)

    def _take_dropped(self, records: list[Record]) -> None:
        dropped: list[Any] = [record.event for record in records]
        self.dropped += sum(event.count for event in dropped)

    # -- what is wrong with the records -----------------------------------------------------------

    @property
    def gaps(self) -> dict[int, tuple[tuple[int, int], ...]]:
        """Numbers of records that are missing though later ones are there, by engine."""
        with self._lock:
            return {engine: gaps for engine, seen in self._seen.items() if (gaps := seen.gaps())}

    # -- how the run stands -----------------------------------------------------------------------

    @property
    def state(self) -> State:
        """``starting`` before it tells that it has started; once it is over, how it ended."""
        if ended := self.ended:
            return ended.outcome
        if states := self.states:
            return states[-1].state
        return "running" if self.started else "starting"

    @property
    def started(self) -> Started | None:
        """How it began."""
        return next(iter(self._all(Started)), None)

    @property
    def ended(self) -> Ended | None:
        """How it ended; None while it goes on.

        What the run said itself holds. That it is lost is somebody else's guess, which is taken
        back when the run is heard again.
        """
        with self._lock:
            told = self._others[Ended].records()
            own = [record for record in told if record.engine != RECORDER]
            if own or not told:
                return own[-1].event if own else None  # type: ignore[return-value]
            states = self._others[StateChanged].records()
            is_back = states and states[-1].engine == RECORDER and age(states[-1]) > age(told[-1])
            return None if is_back else told[-1].event  # type: ignore[return-value]

    @property
    def step(self) -> int:
        """Steps finished, by the latest word on it."""
        return self._position()[0]

    @property
    def epoch(self) -> int:
        """Epochs finished, by the latest word on it."""
        return self._position()[1]

    def _position(self) -> tuple[int, int]:
        with self._lock:
            rows = (self.progress.newest(), self.epochs.newest())
            known = [(age_of_row(row), int(row["step"]), int(row["epoch"])) for row in rows if row]
            known += [
                (age(record), record.event.step, record.event.epoch)  # type: ignore[union-attr]
                for record in self._others[Ended].records()
                if record.engine != RECORDER
            ]
            started = self.started
            first = (started.first_step, started.first_epoch) if started else (0, 0)
            latest = max(known, default=((), *first))
            # A run that has gone back has told where to; in which epoch, the rows say.
            changes: list[Any] = self._others[GroupChanged].records()[-1:]
            return max([latest, *((age(one), one.event.step, latest[2]) for one in changes)])[1:]

    # -- columns ----------------------------------------------------------------------------------

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of all metrics, sorted."""
        names = {*self.progress, *self.epochs}
        return tuple(sorted(names - {*_PROGRESS, *_EPOCHS, *ORIGIN}))

    @property
    def progress(self) -> Columns:
        """The reports, by step: ``step``, ``time_s``, ``epoch``, ``learning_rate``,
        ``samples_per_s``, ``step_time_s``, and every metric, NaN where it was not told.

        A metric that is called like one of these is left out.
        """
        return self._columns(self._progress, _PROGRESS)

    @property
    def epochs(self) -> Columns:
        """The epochs that ended: ``step``, ``time_s``, ``epoch``, ``duration_s``, every metric."""
        return self._columns(self._epochs, _EPOCHS)

    @property
    def rank_times(self) -> RankHistory:
        """Where each rank's time went; of a long run every second, fourth, ... report, so that the
        history stays small. The journal has all.
        """
        found = self._columns(self._ranks, ("step", "time_s"))
        phases = {name: found.get(name, np.empty((0, 0))) for name in PHASES}
        return RankHistory(found["step"], found["time_s"], **phases)

    @property
    def resources(self) -> ResourceHistory:
        """What each rank's process used."""
        found = self._columns(self._resources, ("time_s",))
        used = {name: found.get(name, np.empty((0, 0))) for name in RESOURCES}
        return ResourceHistory(found["time_s"], **used)

    @property
    def time_spread(self) -> TimeSpread:
        """Where the time of the ranks went while there were too many to tell each of them."""
        return _spreads.time_spread(self._columns(self._spread, ("step", "time_s", "ranks")))

    @property
    def resource_spread(self) -> ResourceSpreads:
        """What the ranks' processes used while there were too many to tell each of them."""
        found = self._columns(self._resource_spread, ("time_s", "ranks"))
        return _spreads.resource_spreads(found)

    def _columns(self, table: Table | ThinTable, names: tuple[str, ...]) -> Columns:
        """Rows that hold: a run that went back to a checkpoint has done later steps again."""
        with self._lock:
            found = table.columns(names)
            has_steps = "step" in names and found.rows
            changes = self._others[GroupChanged].records() if has_steps else []
            for change in changes:
                assert isinstance(change.event, GroupChanged)
                is_later = found["step"] > change.event.step
                found = found.without(is_later & found.is_older(age(change)))
            return found

    # -- commands ---------------------------------------------------------------------------------

    @property
    def commands(self) -> tuple[CommandStatus, ...]:
        """All commands in the order in which they were sent, and what came of them."""
        with self._lock:
            answers = [
                record
                for kind in (CommandApplied, CommandRefused)
                for record in self._others[kind].records()
            ]
            return statuses(self._others[CommandSent].records(), answers)

    @property
    def knobs(self) -> dict[str, KnobState]:
        """What can be changed, with the values that commands have given since."""
        with self._lock:
            started = self.started
            applied = self._others[CommandApplied].records()
            return knobs_after(started.knobs if started else (), applied)

    # -- what happened besides --------------------------------------------------------------------

    @property
    def states(self) -> tuple[StateChanged, ...]:
        """When it paused, formed a new group, went on."""
        return self._all(StateChanged)

    @property
    def losses_of_ranks(self) -> tuple[RankLost, ...]:
        """Ranks that died, stalled or raised."""
        return self._all(RankLost)

    @property
    def groups(self) -> tuple[GroupChanged, ...]:
        """On which engines it went on."""
        return self._all(GroupChanged)

    @property
    def evaluations(self) -> tuple[Evaluated, ...]:
        """Validations that somebody asked for."""
        return self._all(Evaluated)

    @property
    def checkpoints(self) -> tuple[CheckpointWritten, ...]:
        """Checkpoints that are on disk."""
        return self._all(CheckpointWritten)

    @property
    def log(self) -> tuple[LogLine, ...]:
        """The last lines that were printed, up to ``LOG_LINES``."""
        with self._lock:
            return self._log.events()

    def _all(self, kind: type) -> tuple[Any, ...]:
        with self._lock:
            return self._others[kind].events()

    # -- ways out ---------------------------------------------------------------------------------

    def frame(self, which: Kind = "progress") -> pd.DataFrame:
        """A table for pandas.

        Args:
            which: ``progress`` (a row for each report), ``epochs`` (for each epoch), ``ranks``
                (for each report and rank); where there are too many ranks to tell each of them,
                ``quantiles`` (for each report and quantile) and ``worst`` (for each report and
                one of its slowest ranks).

        Raises:
            ValueError: there is no such table.
        """
        return _export.frame(self, which)

    def to_csv(self, path: str | Path, which: Kind = "progress") -> None:
        """Write a table as CSV."""
        self.frame(which).to_csv(path, index=False)

    def to_parquet(self, path: str | Path, which: Kind = "progress") -> None:
        """Write a table as Parquet."""
        self.frame(which).to_parquet(path, index=False)

    def to_tensorboard(self, folder: str | Path) -> None:
        """Write TensorBoard's event files: ``progress/*`` over steps, ``epochs/*`` over epochs."""
        _export.to_tensorboard(self, Path(folder))


def _add_chosen(
    table: ThinTable,
    records: list[Record],
    block_of: Callable[[list[Record]], Block],
    origin: Block | None = None,
) -> None:
    """Add those records that stay; the others' numbers are not even looked at."""
    if records:
        kept = table.chosen(origin or origin_block(records))
        table.append(block_of(list(compress(records, kept.tolist()))))
