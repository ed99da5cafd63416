"""Checkpoints that plain Keras reads, whole or not at all, and training resumed from them."""

from __future__ import annotations

import functools
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
from interactive_dl.engine import _fencing, _lag
from interactive_dl.engine._fit_context import FitContext, context_of
from interactive_dl.engine._noise import RankNoise
from interactive_dl.engine._position import Position
from interactive_dl.engine.group import current
from interactive_dl.errors import CheckpointError, CheckpointTakenError, TooFewSamplesError
from interactive_dl.telemetry import identity

RESTORED = "_idl_restored"
_NOTE = "interactive_dl.json"
_PLATEAU_STATE = ("best", "wait", "cooldown_counter")


class CheckpointFile:
    """A training's own: another that begins with the same file takes it over (``_fencing``).

    Every rank has one, so that whoever is rank 0 after a death may write.

    Args:
        path: a ``.keras`` file; its folder is made.
        name: of the training.
    """

    def __init__(self, path: Path, name: str) -> None:
        self.path = path
        self.name = name
        self.token: _fencing.Token | None = None

    def take(self) -> _fencing.Token:
        """Have nobody else write it from now on, on rank 0.

        Raises:
            CheckpointError: its folder cannot be written.
        """
        group = current()
        who = f"{identity.who()} (engine {group.engines[group.rank]})"
        token = _fencing.Token(self.name, who)
        try:
            _fencing.take(self.path, token)
        except OSError as error:
            raise CheckpointError(
                f"A checkpoint's folder must be writable, but {self.path.parent} is not: {error}"
            ) from error
        return token

    def check(self) -> None:
        """Check that it is this training's still, on rank 0.

        Raises:
            CheckpointTakenError: somebody else has taken it.
        """
        if self.token is not None:
            _fencing.check(self.path, self.token)


class Checkpoint(keras.callbacks.Callback):
    """Write the model, its optimizer's state and the position after every epoch, and when asked.

    The file is a plain ``.keras`` archive with one entry of ours; rank 0 writes it under a
    temporary name and renames it, so a killed job leaves the previous checkpoint whole.

    Args:
        file: where to, which ``Resume`` has taken.
        noise: whose random state to keep.
        plateau: whose waiting and best value to keep as well.
    """

    def __init__(
        self,
        file: CheckpointFile,
        noise: RankNoise,
        plateau: keras.callbacks.ReduceLROnPlateau | None = None,
    ) -> None:
        super().__init__()
        self.file = file
        self.path = file.path
        self.noise = noise
        self.plateau = plateau
        self._written: Position | None = None

    def write(self) -> Path:
        """Write the checkpoint of where the training is; every rank calls it.

        Returns:
            Where the file is.

        Raises:
            CheckpointTakenError: another training has taken the file. On every rank.
        """
        group, context = current(), context_of(self.model)
        position = context.position
        _lag.settle(self.model)
        metrics = group.allgather(metric_state(self.model)) if position.batch else None
        problem = None
        if group.rank == 0:
            note = {
                "name": self.file.name,
                **asdict(position),
                "samples": context.samples_before(),
                "metrics": metrics,
                "plateau": plateau_state(self.plateau),
                "noise": self.noise.state(),
                "is_rate_steered": context.is_rate_steered,
            }
            problem = self._write(note)
        problem = group.broadcast(problem)
        if problem is not None:
            raise problem
        self._written = position
        return self.path

    def _write(self, note: Mapping[str, Any]) -> CheckpointTakenError | None:
        assert self.file.token is not None
        try:
            write_checkpoint(self.model, self.path, note, self.file.token)
        except CheckpointTakenError as error:
            return error
        return None

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
    epoch only ``Batches`` can go on; with other data that epoch begins anew. From then on nobody
    else writes the file.

    Args:
        file: the checkpoint; a missing one means a fresh start, as does None.
        noise: whose random state to restore.
        plateau: whose state to restore as well.
        begins_there: whether a training begins there, not only goes back there.
    """

    def __init__(
        self,
        file: CheckpointFile | None,
        noise: RankNoise,
        plateau: keras.callbacks.ReduceLROnPlateau | None = None,
        *,
        begins_there: bool = True,
    ) -> None:
        super().__init__()
        self.file = file
        self.begins_there = begins_there
        self.noise = noise
        self.plateau = plateau
        self._steps_left: int | None = None
        self._ends_epoch_only = False

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Restore, and let ``fit`` begin where it is to go on.

        Raises:
            CheckpointError: the file is damaged or of another model; or the training goes on in
                another group, and another one has taken the file. On every rank.
        """
        context = context_of(self.model)
        is_wanted = context.goes_back if context.restarts else self.begins_there
        has_read = self.file is not None and self._begin(self.file, is_wanted)
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

    def _begin(self, file: CheckpointFile, is_wanted: bool) -> bool:
        """Take the file, and read it where that is wanted and there is one; all ranks know."""
        group = current()
        outcome = self._take_up(file, is_wanted) if group.rank == 0 else None
        note, file.token, problem = group.broadcast(outcome)
        if problem is not None:
            raise problem
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
                f"Resuming {note['name']!r} after epoch {at.epoch}{within} from {file.path}.",
                flush=True,
            )
        return True

    def _take_up(self, file: CheckpointFile, is_wanted: bool) -> _TakenUp:
        """On rank 0. What cannot be resumed is left to whoever writes it; what was written between
        the reading and the taking is read again.
        """
        try:
            if context_of(self.model).restarts:
                file.check()
            state = _state_of(file.path)
            note = self._restore(file.path) if is_wanted else None
            token = file.take()
            if is_wanted and _state_of(file.path) != state:
                note = self._restore(file.path)
        except CheckpointError as error:
            return None, None, error
        return note, token, None

    def _restore(self, path: Path) -> dict[str, Any] | None:
        if not path.exists():
            return None
        optimizer = self.model.optimizer
        if not optimizer.built:
            optimizer.build(self.model.trainable_variables)
        try:
            note = read_note(path)
            self.model.load_weights(path)
            self.noise.restore(note["noise"])
        except (CheckpointError, ValueError, KeyError, OSError, zipfile.BadZipFile) as error:
            raise CheckpointError(
                f"The checkpoint {path} cannot be resumed: {error}\n"
                "Move it away to start anew, or pass callbacks(..., resume=False)."
            ) from error
        return note


_TakenUp = tuple[dict[str, Any] | None, _fencing.Token | None, CheckpointError | None]
"""The checkpoint's note, the right to write it, and why neither."""


def _state_of(path: Path) -> tuple[int, int, int] | None:
    """What differs when the file has been replaced; None where there is none."""
    try:
        with path.open("rb") as opened:  # so that a shared file system looks again
            found = os.fstat(opened.fileno())
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


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


def write_checkpoint(
    model: keras.Model, path: Path, note: Mapping[str, Any], token: _fencing.Token
) -> None:
    """Write ``model`` and ``note`` to ``path``, whole or not at all.

    Raises:
        CheckpointTakenError: the owner of ``token`` may write it no longer.
    """
    _fencing.write(path, token, functools.partial(_fill, model, note))


def _fill(model: keras.Model, note: Mapping[str, Any], path: Path) -> None:
    model.save(path)
    with path.open("r+b") as file, zipfile.ZipFile(file, "a") as archive:
        archive.writestr(_NOTE, json.dumps(note))


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
