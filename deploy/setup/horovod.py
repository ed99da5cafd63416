"""Horovod's wheel: out of the cache, or built into it once."""

from __future__ import annotations

import hashlib
import os
import shutil
import tarfile
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from deploy.setup import commands
from deploy.setup.lock import locked
from deploy.setup.progress import cmake_percent
from deploy.setup.recipe import (
    FOLDER,
    HOROVOD,
    Recipe,
    build_environment,
    compilers_at_once,
    patches,
)


@dataclass(frozen=True)
class Shelf:
    """The folder of one recipe in the cache.

    Attributes:
        folder: ``<cache>/horovod/<key>``.
        python: the interpreter that builds.
    """

    folder: Path
    python: Path

    @property
    def wheel(self) -> Path | None:
        """The finished wheel, if it was ever built."""
        return next(iter(sorted(self.folder.glob("horovod-*.whl"))), None)

    @property
    def log(self) -> Path:
        """Output of all attempts to build it."""
        return self.folder / "build.log"

    @property
    def source(self) -> Path:
        """The source tree with its object files, until the wheel is done.

        CMake's cache holds paths of the environment that builds, so each has a tree of its own.
        """
        return self.folder / f"source-{hashlib.sha256(str(self.python).encode()).hexdigest()[:10]}"


def obtain(shelf: Shelf, recipe: Recipe, *, folder: Path = FOLDER) -> Path:
    """The wheel for a recipe: the cached one, else a newly built one.

    A build that was interrupted goes on from its object files.

    Args:
        shelf: where it is, or will be, and who builds it.
        recipe: what to build.
        folder: where the CMake files and patches are.

    Raises:
        CommandFailedError: the build failed, or a patch does not apply.
    """
    with locked(shelf.folder / "lock", "building this Horovod wheel") as lock:
        if shelf.wheel is None:
            _build(shelf, recipe, folder, lock)
        assert shelf.wheel is not None
        return shelf.wheel


def _build(shelf: Shelf, recipe: Recipe, folder: Path, lock: int) -> None:
    resumed = shelf.source.exists()
    if not resumed:
        _fetch_source(shelf, folder, lock)
    try:
        _compile(shelf, recipe, folder, lock, resumed=resumed)
    except commands.CommandFailedError:
        if not resumed:
            raise
        # A kill -9 or a full disk may have left an object file cut short.
        print("The interrupted build does not go on; building from the start.", flush=True)
        shutil.rmtree(shelf.source)
        _fetch_source(shelf, folder, lock)
        _compile(shelf, recipe, folder, lock, resumed=False)
    for source in shelf.folder.glob("source-*"):
        shutil.rmtree(source)


def _fetch_source(shelf: Shelf, folder: Path, lock: int) -> None:
    downloads = shelf.folder / "downloads"
    commands.run(
        "Fetching Horovod's source",
        [
            *(str(shelf.python), "-m", "pip", "download", f"horovod=={HOROVOD}"),
            *("--no-binary", "horovod", "--no-deps", "--no-build-isolation", "-d", str(downloads)),
        ],
        log=shelf.log,
        percent=lambda line: None,
        held=(lock,),
    )
    unpacked = shelf.source.with_suffix(".partial")
    shutil.rmtree(unpacked, ignore_errors=True)
    with tarfile.open(downloads / f"horovod-{HOROVOD}.tar.gz") as archive:
        archive.extractall(unpacked, filter="data")
    shutil.rmtree(downloads)
    source = unpacked / f"horovod-{HOROVOD}"
    for patch in patches(folder):
        _apply(patch, source, shelf, lock)
    source.rename(shelf.source)
    shutil.rmtree(unpacked)


def _apply(patch: Path, source: Path, shelf: Shelf, lock: int) -> None:
    try:
        commands.run(
            f"Applying {patch.name}",
            [
                *("patch", "--strip=1", "--fuzz=0", "--forward", "--batch"),
                *(f"--directory={source}", f"--input={patch}"),
            ],
            log=shelf.log,
            percent=lambda line: None,
            held=(lock,),
        )
    except commands.CommandFailedError as error:
        raise commands.CommandFailedError(
            f"A patch must fit the source of Horovod {HOROVOD}, but {patch} does not: make it"
            f" anew from that source.\n{error}"
        ) from error


def _compile(shelf: Shelf, recipe: Recipe, folder: Path, lock: int, *, resumed: bool) -> None:
    wheels = shelf.source / "wheels"
    jobs = compilers_at_once(
        len(os.sched_getaffinity(0)), os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    )
    commands.run(
        "Building Horovod, going on" if resumed else "Building Horovod (some minutes, once)",
        [
            *(str(shelf.python), "-m", "pip", "wheel", "-v", str(shelf.source)),
            *("--no-build-isolation", "--no-deps", "-w", str(wheels)),
        ],
        log=shelf.log,
        percent=cmake_percent,
        environment=build_environment(
            recipe, os.environ, bin_folder=shelf.python.parent, jobs=jobs, folder=folder
        ),
        held=(lock,),
    )
    built = next(wheels.glob("horovod-*.whl"))
    with zipfile.ZipFile(built) as archive:
        if lacking := libraries_lacking(archive.namelist(), torch=recipe.torch is not None):
            raise commands.CommandFailedError(
                f"A Horovod wheel must hold {' and '.join(lacking)}, but {built} does not."
                f" The whole log: {shelf.log}"
            )
    built.rename(shelf.folder / built.name)


def libraries_lacking(names: Iterable[str], *, torch: bool) -> tuple[str, ...]:
    """Libraries that are not among the files of a wheel: pip packs it without them, too.

    Args:
        names: files in the wheel.
        torch: whether it is meant for torch as well.
    """
    needed = ["horovod/tensorflow/mpi_lib", *(["horovod/torch/mpi_lib_v2"] if torch else [])]
    found = tuple(names)
    return tuple(one for one in needed if not any(name.startswith(f"{one}.") for name in found))
