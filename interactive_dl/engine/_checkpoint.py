"""Checkpoints that plain Keras reads, whole or not at all, and training resumed from them."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from interactive_dl.data.batches import Batches
from interactive_dl.engine import _lag
from interactive_dl.engine._fit_context import FitContext, context_of
from interactive_dl.engine._noise import RankNoise
from interactive_dl.engine._position import Position
from interactive_dl.engine.group import current
from interactive_dl.errors import CheckpointError, TooFewSamplesError

RESTORED = "_idl_restored"
_NOTE = "interactive_dl.json"
_PLATEAU_STATE = ("best", "wait", "cooldown_counter")


class Checkpoint(keras.callbacks.Callback):
    """Write the model, its optimizer's state and the position after every epoch, and when asked.

    The file is a plain ``.keras`` archive with one entry of ours; rank 0 writes it under a
    temporary name and renames it, so a killed job leaves the previous checkpoint whole.

    Args:
        path: a ``.keras`` file; its folder is made.
        name: the run's name, kept in the file.
        noise: whose random state to keep.
        plateau: whose waiting and best value to keep as well.
    """

    def __init__(
        self,
        path: Path,
        name: str,
        noise: RankNoise,
        plateau: keras.callbacks.ReduceLROnPlateau | None = None,
    ) -> None:
        super().__init__()
        self.path = path
        self.name = name
        self.noise = noise
        self.plateau = plateau
        self._written: Position | None = None

    def write(self) -> Path:
        """Write the checkpoint of where the training is; every rank calls it.

        Returns:
            Where the file is.
        """
        group, context = current(), context_of(self.model)
        position = context.position
        _lag.settle(self.model)
        metrics = group.allgather(metric_state(self.model)) if position.batch else None
        if group.rank == 0:
            note = {
                "name": self.name,
                **asdict(position),
                "samples": context.samples_before(),
                "metrics": metrics,
                "plateau": plateau_state(self.plateau),
                "noise": self.noise.state(),
                "is_rate_steered": context.is_rate_steered,
            }
            write_checkpoint(self.model, self.path, note)
        self._written = position
        return self.path

    def write_epoch(self) -> None:
        """Write the checkpoint of an epoch's end, unless it stopped within: that was written then,
        with the metrics that the validation has forgotten since.
        """
        if context_of(self.model).position != self._written:
            self.write()


class Resume(keras.callbacks.Callback):
    """Go on where a checkpoint was written, or where a rank was lost: weights, optimizer, position,
    metrics, random generators, plateau.

    Rank 0 reads the file; ``BroadcastState``, which comes later, hands the state on. Within an
    epoch only ``Batches`` can go on; with other data that epoch begins anew.

    Args:
        path: the checkpoint; a missing file means a fresh start, as does no path.
        noise: whose random state to restore.
        plateau: whose state to restore as well.
        begins_there: whether a training begins there, not only goes back there.
    """

    def __init__(
        self,
        path: Path | None,
        noise: RankNoise,
        plateau: keras.callbacks.ReduceLROnPlateau | None = None,
        *,
        begins_there: bool = True,
    ) -> None:
        super().__init__()
        self.path = path
        self.begins_there = begins_there
        self.noise = noise
        self.plateau = plateau
        self._steps_left: int | None = None
        self._ends_epoch_only = False

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Restore, and let ``fit`` begin where it is to go on.

        Raises:
            CheckpointError: the file is damaged or of another model. On every rank.
        """
        context = context_of(self.model)
        is_wanted = context.goes_back if context.restarts else self.begins_there
        has_read = is_wanted and self._read()
        context.goes_back, context.has_gone_back = False, context.goes_back and has_read
        if context.restarts and not has_read:
            self._keep_plateau()
        elif not has_read:
            return
        self._steps_left = None
        if context.begin.batch:
            self._steps_left = context.data[0].steps_of(context.begin.epoch)
        context.position = context.begin
        self.model._initial_epoch = context.begin.epoch
        context.exits.callback(setattr, self.model, "_initial_epoch", None)

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Add the sums of the steps before; Keras makes a model's metrics in the first step.

        Then end the epoch with its last step. Keras, which expects as many steps as in the others,
        would begin one more, find no batch, and have drawn random numbers already.
        """
        context = context_of(self.model)
        if context.metrics is not None:
            add_metric_state(self.model, context.metrics)
            context.metrics = None
        is_over = self._steps_left is not None and batch + 1 >= self._steps_left
        if is_over and not self.model.stop_training:
            self.model.stop_training = self._ends_epoch_only = True

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Go on with the next epoch."""
        if self._ends_epoch_only:
            self.model.stop_training = self._ends_epoch_only = False
        self._steps_left = None

    def _keep_plateau(self) -> None:
        """A plateau begins again with the training, but it has waited for a while."""
        if self.plateau is not None:
            state = current().broadcast(plateau_state(self.plateau))
            setattr(self.plateau, RESTORED, state)

    def _read(self) -> bool:
        """Read the file, if there is one, and say what it says to all ranks."""
        if self.path is None:
            return False
        group = current()
        note, problem = self._restore(self.path) if group.rank == 0 else (None, None)
        note, problem = group.broadcast((note, problem))
        if problem is not None:
            raise CheckpointError(problem)
        if note is None:
            return False
        context = context_of(self.model)
        position = Position(note["step"], note["epoch"], note["batch"])
        begin_at(context, position, note["samples"], note["metrics"])
        context.is_rate_steered = note["is_rate_steered"]
        if self.plateau is not None:
            setattr(self.plateau, RESTORED, note["plateau"])
        if group.rank == 0:
            at = context.begin
            within = f" and {at.batch} steps" if at.batch else ""
            print(
                f"Resuming {note['name']!r} after epoch {at.epoch}{within} from {self.path}.",
                flush=True,
            )
        return True

    def _restore(self, path: Path) -> tuple[dict[str, Any] | None, str | None]:
        if not path.exists():
            return None, None
        optimizer = self.model.optimizer
        if not optimizer.built:
            optimizer.build(self.model.trainable_variables)
        try:
            note = read_note(path)
            self.model.load_weights(path)
            self.noise.restore(note["noise"])
        except (CheckpointError, ValueError, KeyError, OSError, zipfile.BadZipFile) as error:
            return None, (
                f"The checkpoint {path} cannot be resumed: {error}\n"
                "Move it away to start anew, or pass callbacks(..., resume=False)."
            )
        return note, None


def begin_at(
    context: FitContext, position: Position, samples: int, metrics: list[list[Any]] | None
) -> None:
    """Have ``fit`` go on at ``position``, as far as its data can.

    Args:
        context: of the ``fit``.
        position: where.
        samples: of the epoch that has begun, of all ranks, done before.
        metrics: that epoch's sums so far, by rank.
    """
    training = context.data[0]
    if isinstance(training, Batches):
        try:
            training.begin_within(position.epoch, samples if position.batch else 0)
        except TooFewSamplesError:
            position = replace(position, epoch=position.epoch + 1, batch=0)
    elif position.batch:
        position = replace(position, batch=0)
    context.begin = position
    context.metrics = metrics if position.batch else None


def metric_state(model: keras.Model) -> list[Any]:
    """This rank's sums of the epoch's metrics so far, as nested lists of numbers."""
    return [keras.ops.convert_to_numpy(one.value).tolist() for one in _metric_variables(model)]


def restore_metric_state(model: keras.Model, state: list[Any]) -> None:
    """Take up this rank's sums."""
    for variable, value in zip(_metric_variables(model), state, strict=True):
        variable.assign(np.asarray(value, dtype=variable.dtype))


def add_metric_state(model: keras.Model, by_rank: list[list[Any]]) -> None:
    """Add sums that were noted by rank; another number of ranks adds their means."""
    group = current()
    for index, variable in enumerate(_metric_variables(model)):
        noted = [np.asarray(states[index], dtype=np.float64) for states in by_rank]
        mine = noted[group.rank] if len(noted) == group.size else np.mean(noted, axis=0)
        variable.assign_add(mine.astype(variable.dtype))


def _metric_variables(model: keras.Model) -> list[keras.Variable]:
    return [variable for metric in model.metrics for variable in metric.variables]


def write_checkpoint(model: keras.Model, path: Path, note: Mapping[str, Any]) -> None:
    """Write ``model`` and ``note`` to ``path``, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.keras")
    try:
        model.save(temporary)
        with zipfile.ZipFile(temporary, "a") as archive:
            archive.writestr(_NOTE, json.dumps(note))
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def read_note(path: Path) -> dict[str, Any]:
    """What a checkpoint says of its run: name, number of finished epochs, plateau state.

    Raises:
        CheckpointError: the file was not written by this package.
    """
    with zipfile.ZipFile(path) as archive:
        if _NOTE not in archive.namelist():
            raise CheckpointError("It has no note of the epoch; it was written by plain Keras.")
        return dict(json.loads(archive.read(_NOTE)))


def checkpoint_path(path: str | os.PathLike[str]) -> Path:
    """Check a checkpoint's name.

    Raises:
        ValueError: it does not end in ``.keras``.
    """
    checked = Path(path)
    if checked.suffix != ".keras":
        raise ValueError(f"A checkpoint's name must end in .keras, but got {str(path)!r}.")
    return checked


def plateau_state(plateau: keras.callbacks.ReduceLROnPlateau | None) -> dict[str, Any]:
    return {} if plateau is None else {key: getattr(plateau, key) for key in _PLATEAU_STATE}
