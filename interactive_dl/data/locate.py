"""Where a split lies: in a file of its own, or in a part of one file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from interactive_dl.errors import MissingKeyError, SourceNotFoundError

HDF5_SUFFIXES = (".h5", ".hdf5", ".hdf", ".he5")
NPZ_SUFFIX = ".npz"
SUFFIXES = (*HDF5_SUFFIXES, NPZ_SUFFIX)


@dataclass(frozen=True)
class Place:
    """A file, and the part of it that is meant.

    In an HDF5 file a part is a group, so that its key ``x`` is ``train/x``; in an npz file it is
    the end of the names: ``x_train``.
    """

    file: Path
    part: str | None

    @property
    def is_npz(self) -> bool:
        """Whether the file is an npz archive; else it is taken for HDF5."""
        return self.file.suffix == NPZ_SUFFIX

    def name(self, key: str) -> str:
        """Full name of a key's array in the file."""
        if self.part is None:
            return key
        return f"{key}_{self.part}" if self.is_npz else f"{self.part}/{key}"


def locate(path: Path, split: str | None) -> Place:
    """Find a split: ``<folder>/<split>.h5`` (or ``.npz``, ...), or a part of one file.

    Raises:
        SourceNotFoundError: there is no such file or folder, or no file of the split in it.
        MissingKeyError: a folder without a ``split``.
    """
    if path.is_file():
        return Place(path, split)
    if not path.is_dir():
        raise SourceNotFoundError(
            f"There is no file or folder {path} (working directory: {Path.cwd()})."
            f" {_listing(path.parent)} It must be readable on every host that has an engine."
        )
    if split is None:
        raise MissingKeyError(
            f"A folder needs a split, but got data.open({str(path)!r}) alone. {_listing(path)}"
            f' Write data.open({str(path)!r}, split="train").'
        )
    for suffix in SUFFIXES:
        file = path / f"{split}{suffix}"
        if file.is_file():
            return Place(file, None)
    raise SourceNotFoundError(
        f"There is no {split}.h5 or {split}.npz in {path}. {_listing(path)}"
        " A split is the name of its file."
    )


def _listing(folder: Path) -> str:
    if not folder.is_dir():
        return f"There is no folder {folder} either."
    names = sorted(file.name for file in folder.iterdir() if file.suffix in SUFFIXES)
    return f"{folder} has: {', '.join(names) or 'no data file'}."
