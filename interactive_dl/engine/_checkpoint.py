"""Checkpoints that plain Keras reads, whole or not at all, and training resumed from them."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras

from interactive_dl.engine._noise import RankNoise
from interactive_dl.engine.group import current
from interactive_dl.errors import CheckpointError

RESTORED = "_idl_restored"
_NOTE = "interactive_dl.json"
_PLATEAU_STATE = ("best", "wait", "cooldown_counter")


class Checkpoint(keras.callbacks.Callback):
    """Write the model, its optimizer's state and the epoch from rank 0 after every epoch.

    The file is a plain ``.keras`` archive with one entry of ours; it is written under a temporary
    name and renamed, so a killed job leaves the previous checkpoint whole.

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

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Write the checkpoint of this epoch."""
        if current().rank == 0:
            note = {
                "name": self.name,
                "epoch": epoch + 1,
                "plateau": _plateau_state(self.plateau),
                "noise": self.noise.state(),
            }
            write_checkpoint(self.model, self.path, note)


class Resume(keras.callbacks.Callback):
    """Go on from a checkpoint where there is one: weights, optimizer, epoch,
    random generators, plateau.

    Rank 0 reads the file; ``BroadcastState``, which comes later, hands the state on.

    Args:
        path: the checkpoint; a missing file means a fresh start.
        noise: whose random state to restore.
        plateau: whose state to restore as well.
    """

    def __init__(
        self,
        path: Path,
        noise: RankNoise,
        plateau: keras.callbacks.ReduceLROnPlateau | None = None,
    ) -> None:
        super().__init__()
        self.path = path
        self.noise = noise
        self.plateau = plateau

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Restore, and let ``fit`` begin with the epoch after the last finished one.

        Raises:
            CheckpointError: the file is damaged or of another model. On every rank.
        """
        group = current()
        note, problem = self._restore() if group.rank == 0 else (None, None)
        note, problem = group.broadcast((note, problem))
        if problem is not None:
            raise CheckpointError(problem)
        if note is None:
            return
        self.model._initial_epoch = note["epoch"]
        if self.plateau is not None:
            setattr(self.plateau, RESTORED, note["plateau"])
        if group.rank == 0:
            print(f"Resuming {note['name']!r} after epoch {note['epoch']} from {self.path}.")

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Leave the next ``fit`` its own first epoch."""
        self.model._initial_epoch = None

    def _restore(self) -> tuple[dict[str, Any] | None, str | None]:
        if not self.path.exists():
            return None, None
        optimizer = self.model.optimizer
        if not optimizer.built:
            optimizer.build(self.model.trainable_variables)
        try:
            note = read_note(self.path)
            self.model.load_weights(self.path)
            self.noise.restore(note["noise"])
        except (CheckpointError, ValueError, KeyError, OSError, zipfile.BadZipFile) as error:
            return None, (
                f"The checkpoint {self.path} cannot be resumed: {error}\n"
                "Move it away to start anew, or pass callbacks(..., resume=False)."
            )
        return note, None


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


def _plateau_state(plateau: keras.callbacks.ReduceLROnPlateau | None) -> dict[str, Any]:
    return {} if plateau is None else {key: getattr(plateau, key) for key in _PLATEAU_STATE}
