"""One node's own copy of staged files: found whole or made anew, never seen half."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Literal

import msgspec

from interactive_dl.data.manifest import File, Manifest
from interactive_dl.errors import StagingError

FOLDER_VARIABLES = ("SLURM_TMPDIR", "TMPDIR")
"""Environment variables that name a node's own storage, by preference; else ``/tmp``."""

_MANIFEST = "manifest.json"
Claim = Literal["valid", "claimed", "busy"]


class NodeCopy:
    """A copy in a folder of its own, which only its user may enter.

    It has the files, under the name of the staged file or folder, and a manifest. The one process
    that makes it (``claim``) holds a lock, which ends with the process; until ``publish`` it lies
    in a folder beside, which others of the node may ``write`` to.

    Args:
        base: the node's own storage.
        manifest: what is copied.

    Attributes:
        home: the copy's folder.
    """

    def __init__(self, base: Path, manifest: Manifest) -> None:
        name = Path(manifest.path).name
        digest = hashlib.sha256(manifest.path.encode()).hexdigest()[:12]
        self.manifest = manifest
        self.home = base / f"interactive_dl-{os.getuid()}" / f"{name}-{digest}"
        self._unfinished = self.home.with_name(f".{self.home.name}.part")
        self._lock: int | None = None

    @property
    def path(self) -> Path:
        """The copy of the staged file or folder."""
        return self.home / Path(self.manifest.path).name

    def is_valid(self) -> bool:
        """Whether it is whole and up to date, by sizes and times."""
        try:
            known = msgspec.json.decode((self.home / _MANIFEST).read_bytes(), type=Manifest)
        except (OSError, msgspec.MsgspecError):
            return False
        return known == self.manifest and all(
            file.is_at(self.home / file.name) for file in self.manifest.files
        )

    def claim(self) -> Claim:
        """Be the one that makes it: ``busy`` while another process is.

        Raises:
            StagingError: the folder for copies is not this user's alone, or cannot be made.
        """
        _own_folder(self.home.parent)
        lock = os.open(
            self.home.with_name(f".{self.home.name}.lock"), os.O_CREAT | os.O_RDWR, 0o600
        )
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            return "busy"
        self._lock = lock
        if self.is_valid():
            self.release()
            return "valid"
        return "claimed"

    def begin(self) -> None:
        """Take away what is out of date or half, and make room.

        Raises:
            StagingError: there is too little.
        """
        for leftover in (self.home, self._unfinished):
            shutil.rmtree(leftover, ignore_errors=True)
        self._require_room()
        self._unfinished.mkdir(mode=0o700)
        for file in self.manifest.files:
            path = self._unfinished / file.name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch(mode=0o600)
            os.truncate(path, file.size)

    def _require_room(self) -> None:
        free = shutil.disk_usage(self.home.parent).free
        if free < self.manifest.size:
            raise StagingError(
                f"A copy must fit into a node's own storage, but {self.manifest.path} has"
                f" {gigabytes(self.manifest.size)} and {self.home.parent.parent} on"
                f" {os.uname().nodename} has room for {gigabytes(free)}. Name a folder with more:"
                ' data.stage(path, group, folder="..."), or set'
                f" {' or '.join(FOLDER_VARIABLES)} in the engines' environment."
            )

    def write(self, file: File, offset: int, content: memoryview) -> None:
        """Put some bytes of a file to their place.

        Raises:
            StagingError: the storage is full.
        """
        path = self._unfinished / file.name
        try:
            with open(path, "r+b", buffering=0) as target:
                target.seek(offset)
                while content:
                    content = content[target.write(content) :]
        except OSError as error:
            raise StagingError(
                f"{path} on {os.uname().nodename} cannot be written ({error}). Make room, or name"
                ' another folder: data.stage(path, group, folder="...").'
            ) from error

    def publish(self) -> None:
        """Make it known: it is whole."""
        for file in self.manifest.files:
            times = (file.changed_ns, file.changed_ns)
            os.utime(self._unfinished / file.name, ns=times)
        (self._unfinished / _MANIFEST).write_bytes(msgspec.json.encode(self.manifest))
        self._unfinished.rename(self.home)

    def release(self) -> None:
        """Let others make it; does nothing without a claim."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def discard(self) -> None:
        """Take away what is half."""
        shutil.rmtree(self._unfinished, ignore_errors=True)


def own_storage(folder: str | os.PathLike[str] | None) -> Path:
    """Where this node's copies lie.

    Args:
        folder: as the user says; None: as the environment says.
    """
    named = (os.environ.get(variable) for variable in FOLDER_VARIABLES)
    return Path(folder or next(filter(None, named), tempfile.gettempdir())).absolute()


def _own_folder(folder: Path) -> None:
    """Make a folder that nobody else may enter.

    Raises:
        StagingError: it is somebody else's, or open to others, or cannot be made.
    """
    try:
        with suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        found = folder.lstat()
    except OSError as error:
        raise StagingError(
            f"There must be a folder {folder.parent} that can be written on"
            f" {os.uname().nodename}, but: {error}. Name the node's own storage:"
            ' data.stage(path, group, folder="...").'
        ) from error
    if not folder.is_dir() or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise StagingError(
            f"{folder} on {os.uname().nodename} must be a folder of yours that nobody else may"
            f" enter, but it has owner {found.st_uid} and mode {found.st_mode & 0o777:o}. Remove"
            ' it, or name another place: data.stage(path, group, folder="...").'
        )


def gigabytes(size: int) -> str:
    """Bytes in words."""
    return f"{size / 1e9:.3g} GB" if size >= 1e7 else f"{size / 1e6:.3g} MB"
