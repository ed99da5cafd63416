"""What there is to be staged: files with their sizes and times of change."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from interactive_dl.errors import SourceNotFoundError


class File(msgspec.Struct, frozen=True):
    """One file.

    Attributes:
        name: relative to the folder that the staged file or folder is in.
        size: in bytes.
        changed_ns: time of its last change.
    """

    name: str
    size: int
    changed_ns: int

    def is_at(self, path: Path) -> bool:
        """Whether this very file, or a copy of it, is there."""
        try:
            found = path.stat()
        except OSError:
            return False
        return (found.st_size, found.st_mtime_ns) == (self.size, self.changed_ns)


class Manifest(msgspec.Struct, frozen=True):
    """A file, or a folder with all that is in it.

    Attributes:
        path: of the file or folder; absolute.
        files: by name.
    """

    path: str
    files: tuple[File, ...]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)

    @property
    def parent(self) -> Path:
        """What the files' names are relative to."""
        return Path(self.path).parent


def list_files(path: Path) -> Manifest:
    """Look at a file or folder; links to folders are followed.

    Raises:
        SourceNotFoundError: there is none, or no file in it.
    """
    files = []
    for name in sorted(_names(path)):
        found = os.stat(path.parent / name)
        files.append(File(name, found.st_size, found.st_mtime_ns))
    if not files:
        raise SourceNotFoundError(
            f"There is no file or folder {path}, or no file in it (working directory:"
            f" {Path.cwd()}). Give a path on the file system that all nodes share."
        )
    return Manifest(str(path), tuple(files))


def _names(path: Path) -> Iterator[str]:
    if path.is_file():
        yield path.name
    for folder, _, names in os.walk(path, followlinks=True):
        inside = Path(folder).relative_to(path.parent)
        yield from (str(inside / name) for name in names)
