"""A trial's training: the callbacks that make it a run of its own, tell of it, and obey."""

from __future__ import annotations

import json
import math
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras

from interactive_dl.engine import _callbacks, _rate
from interactive_dl.engine._broadcast import BroadcastState
from interactive_dl.engine._checkpoint import Resume
from interactive_dl.engine._fit_context import context_of, is_rate_steered
from interactive_dl.engine._live import Live
from interactive_dl.engine.group import Group
from interactive_dl.errors import SearchError
from interactive_dl.search import words
from interactive_dl.search.events import Promotion
from interactive_dl.telemetry import steering

if TYPE_CHECKING:
    from interactive_dl.search.trial import Trial

_CHECKPOINT = "checkpoint.keras"
_RATES = "rates.json"
_OWNER = "the search"


def callbacks(
    trial: Trial, task: words.Task, group: Group, options: Mapping[str, Any]
) -> list[keras.callbacks.Callback]:
    """See ``Trial.callbacks``."""
    path = trial.folder / _CHECKPOINT
    if group.rank == 0:
        _begin_from(task, path)
    chosen = {
        "checkpoint": path,
        "parameters": {**task.params, "trial": task.trial, "attempt": task.attempt},
        "on_rank_loss": "stop",  # the trial begins again elsewhere, with as many engines
        **options,
    }
    ours = _callbacks.callbacks(f"{task.name}-{task.trial}", **chosen)
    live = next(one for one in ours if isinstance(one, Live))
    live.owner = _OWNER
    if task.continues and not task.is_own:
        compiled = _CompiledRate()
        ours.insert(_index(ours, Resume), compiled)
        ours.insert(_index(ours, BroadcastState) + 1, _SetBack(compiled))
    elif task.checkpoint and not task.is_own and task.promotion is None:
        ours.insert(_index(ours, BroadcastState), _WarmStart(Path(task.checkpoint)))
    if task.learning_rate is not None:
        ours.insert(_index(ours, BroadcastState) + 1, _SetByHand(task.learning_rate))
    if task.promotion is not None:  # it comes before a rate that was set on the promotion itself
        ours.insert(_index(ours, BroadcastState) + 1, _PromotedRate(task, group, trial.folder))
    ours.insert(ours.index(live), _Obedience(trial, live))
    written = None if chosen["checkpoint"] is None else Path(chosen["checkpoint"])
    return [*ours, _Reporting(trial, live, written)]


def _index(callbacks: list[keras.callbacks.Callback], kind: type) -> int:
    return next(at for at, one in enumerate(callbacks) if isinstance(one, kind))


def _begin_from(task: words.Task, path: Path) -> None:
    """Put the checkpoint that the training resumes where it looks for it."""
    goes_on = task.continues or task.promotion is not None
    if goes_on and not task.is_own and task.checkpoint and not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}")
        shutil.copyfile(task.checkpoint, partial)
        partial.replace(path)


class _Obedience(keras.callbacks.Callback):
    """Hands the search's orders to the run, which has all ranks obey after the same step."""

    def __init__(self, trial: Trial, live: Live) -> None:
        super().__init__()
        self._trial = trial
        self._live = live

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Hand on what has come."""
        self._live.hear(_command(order) for order in self._trial.take_orders())


def _command(order: words.AnyOrder) -> steering.Sent:
    made: steering.AnyCommand
    match order:
        case words.SetRate(learning_rate=rate):
            made = steering.SetKnobs({"learning_rate": rate})
        case _:
            made = steering.Stop("step")
    return steering.Sent(secrets.token_hex(8), _OWNER, made)


class _Reporting(keras.callbacks.Callback):
    """Tells the search of the run, its checkpoints and its epochs; comes after everything else."""

    def __init__(self, trial: Trial, live: Live, checkpoint: Path | None) -> None:
        super().__init__()
        self._trial = trial
        self._live = live
        self._path = checkpoint
        self._seen_ns = 0

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Tell which run it is."""
        self._trial.begins_training()
        self._trial.opened_run(self._live.run)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Tell the epoch's metrics, which are the same on all ranks by now."""
        self._tell_checkpoint()
        finite = {name: _finite(value) for name, value in (logs or {}).items()}
        if context_of(self.model).position.batch == 0:  # else it was left within
            self._trial.report(epoch + 1, **finite)  # type: ignore[arg-type]

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Tell of a checkpoint that was written within an epoch."""
        self._tell_checkpoint()
        self._trial.ends_training()

    def _tell_checkpoint(self) -> None:
        if self._path is None or not self._path.exists():
            return
        written_ns = self._path.stat().st_mtime_ns
        if written_ns != self._seen_ns:
            self._seen_ns = written_ns
            self._trial.saved(context_of(self.model).position.epoch, self._path)


def _finite(value: Any) -> float | None:
    number = float(value)
    return number if math.isfinite(number) else None


class _WarmStart(keras.callbacks.Callback):
    """Begin with another trial's weights and optimizer state, but with one's own learning rate.

    Rank 0 reads; ``BroadcastState``, which comes later, hands it on.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Read, once ``fit`` has built everything; a resumed training has its own already."""
        context = context_of(self.model)
        optimizer = self.model.optimizer
        if context.restarts or context.begin.step:
            return
        rate = _rate.get_rate(optimizer) if _rate.has_fixed_rate(optimizer) else None
        if not optimizer.built:
            optimizer.build(self.model.trainable_variables)
        self.model.load_weights(self._path)
        if rate is not None:
            optimizer.learning_rate = rate


class _CompiledRate(keras.callbacks.Callback):
    """Notes the learning rate that the objective compiled, before a checkpoint brings another.

    Attributes:
        rate: None where the optimizer has a schedule of its own.
    """

    rate: float | None = None

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Note it."""
        optimizer = self.model.optimizer
        if self.rate is None and _rate.has_fixed_rate(optimizer):
            self.rate = _rate.get_rate(optimizer)


class _SetBack(keras.callbacks.Callback):
    """Gives the optimizer that rate again, once the checkpoint was read."""

    def __init__(self, compiled: _CompiledRate) -> None:
        super().__init__()
        self._compiled = compiled

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Set it."""
        if self._compiled.rate is not None:
            rate = self._compiled.rate
            _rate.set_rate(self.model.optimizer, rate, momentum_correction=True)


class _SetByHand(keras.callbacks.Callback):
    """Gives the optimizer the rate that a person has set in an earlier attempt.

    The checkpoint may be older than that, or there is none.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self._rate = rate

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Set it; an optimizer with a schedule of its own has refused it before."""
        optimizer = self.model.optimizer
        if _rate.has_fixed_rate(optimizer):
            _rate.set_rate(optimizer, self._rate, momentum_correction=True)
            context_of(self.model).is_rate_steered = True


class _PromotedRate(keras.callbacks.Callback):
    """Raise the learning rate to that of more engines, step by step (Goyal et al. 2017).

    The rule is ``engine.scale_lr``'s, with the ratio of the engines for its ranks. A person who
    sets the rate meanwhile ends it.
    """

    def __init__(self, task: words.Task, group: Group, folder: Path) -> None:
        super().__init__()
        assert task.promotion is not None
        self._how: Promotion = task.promotion
        self._is_first = not task.is_own
        self._group = group
        self._file = folder / _RATES
        ratio = group.size / task.parent_engines
        self._factor = {"linear": ratio, "sqrt": math.sqrt(ratio), "none": 1.0}[self._how.rule]
        self._first_step = 0

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Note where it begins and where it is to get; another attempt finds that again.

        Raises:
            SearchError: the optimizer has a schedule of its own.
        """
        self._steps = (self.params.get("steps") or 0) * self._how.warmup_epochs
        optimizer = self.model.optimizer
        if self._factor != 1 and not _rate.has_fixed_rate(optimizer):
            raise SearchError(
                "A promotion scales the learning rate, but the optimizer has a schedule of its own."
                ' Type: search.promote(trial, epochs=..., rule="none"), and let the objective scale'
                " it: engine.scale_lr(lr)."
            )
        if self._is_first:  # what was set by hand before the promotion is what it scales
            context_of(self.model).is_rate_steered = False
        noted = self._group.broadcast(self._note() if self._group.rank == 0 else None)
        self._first_step, self._base = noted["step"], noted["rate"]

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Set the rate of the coming step."""
        if self._factor == 1 or is_rate_steered(self.model):
            return
        done = context_of(self.model).position.step - self._first_step + 1
        share = min(1.0, done / self._steps) if self._steps else 1.0
        rate = self._base * (1 + (self._factor - 1) * share)
        _rate.set_rate(self.model.optimizer, rate, momentum_correction=True)

    def _note(self) -> dict[str, float]:
        if self._file.exists():
            return dict(json.loads(self._file.read_text()))
        optimizer = self.model.optimizer
        rate = _rate.get_rate(optimizer) if _rate.has_fixed_rate(optimizer) else 0.0
        noted = {"step": context_of(self.model).position.step, "rate": rate}
        self._file.write_text(json.dumps(noted))
        return noted
