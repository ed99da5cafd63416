"""Files staged by ranks on several hosts: read once, alike everywhere, whole or not at all."""

from __future__ import annotations

import fcntl
import os
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from interactive_dl import data
from interactive_dl.data import copies, staging
from interactive_dl.data.manifest import File
from interactive_dl.errors import SourceNotFoundError, SourcesDifferError, StagingError
from interactive_dl.testing import ThreadRank, ThreadRanks

HOSTS = ("a", "a", "b", "b", "c", "c", "c")
BLOCK_MIB = 1000 / 2**20
Outcomes = list[Any]


class Store:
    """A folder of a shared file system that counts what is read of it.

    Attributes:
        folder: with files; one is empty.
        read: bytes by file.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.read: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._fill = staging.fill
        rng = np.random.default_rng(0)
        for name, size in {"stats": 11, "train/0": 9000, "train/1": 0, "val/0": 4321}.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(rng.bytes(size))

    @property
    def size(self) -> int:
        return sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file())

    def fill(self, path: Path, file: File, offset: int, content: memoryview) -> None:
        if path.is_relative_to(self.folder):
            with self._lock:
                self.read[path.name] += len(content)
        self._fill(path, file, offset, content)

    def contents(self, at: Path) -> dict[str, bytes]:
        files = (path for path in at.rglob("*") if path.is_file())
        return {str(path.relative_to(at)): path.read_bytes() for path in files}


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    made = Store(tmp_path / "shared")
    monkeypatch.setattr(staging, "fill", made.fill)
    return made


@pytest.fixture
def own(tmp_path: Path) -> Callable[[str], Path]:
    """The storage of a host."""

    def folder(host: str) -> Path:
        made = tmp_path / f"own-{host}"
        made.mkdir(exist_ok=True)
        return made

    return folder


@pytest.fixture
def stage(store: Store, own: Callable[[str], Path]) -> Callable[..., Outcomes]:
    """Stages the store on all hosts: each rank's outcome."""

    def run(path: Path = store.folder, hosts: tuple[str, ...] = HOSTS) -> Outcomes:
        def program(group: ThreadRank) -> data.Staged:
            folder = own(group.hosts[group.rank])
            return data.stage(path, group, folder=folder, block_mib=BLOCK_MIB)

        return ThreadRanks(len(hosts), hosts=hosts).outcomes(program)

    return run


def halves(*folders: Path) -> list[Path]:
    return [path for folder in folders for path in folder.rglob(".*.part")]


def test_every_node_has_all_files_and_each_byte_was_read_once(
    store: Store, stage: Callable[..., Outcomes]
) -> None:
    """Where each of the three nodes copied for itself it would be three times."""
    staged = stage()
    for one in staged:
        assert store.contents(one.path) == store.contents(store.folder)
    assert len({one.path for one in staged}) == 3
    assert store.read.total() == store.size == sum(one.read_bytes for one in staged)
    assert sum(one.received_bytes for one in staged) == 2 * store.size


def test_ranks_read_equally_much_of_one_file(store: Store, stage: Callable[..., Outcomes]) -> None:
    staged = stage(store.folder / "train" / "0")
    assert [one.read_bytes for one in staged] == [1500] * 6 + [0]
    assert {one.path.read_bytes() for one in staged} == {(store.folder / "train/0").read_bytes()}


def test_a_copy_that_is_there_is_used_by_later_groups(
    store: Store, stage: Callable[..., Outcomes]
) -> None:
    first = stage()
    store.read.clear()
    again = stage(hosts=("c", "a"))
    assert store.read.total() == 0
    assert {one.path for one in again} <= {one.path for one in first}
    assert "on 2 nodes before" in repr(again[0])
    assert "this rank read 0.00222 MB" in repr(first[0])
    assert "this rank read 0 MB" in repr(first[-1])


@pytest.mark.parametrize("change", ["grown", "touched", "removed from the copy"])
def test_a_copy_that_is_out_of_date_is_made_anew(
    store: Store, stage: Callable[..., Outcomes], change: str
) -> None:
    first = stage()
    if change == "removed from the copy":
        (first[0].path / "val" / "0").unlink()
    else:
        changed = store.folder / "val" / "0"
        changed.write_bytes(changed.read_bytes()[::-1] + b"more" * (change == "grown"))
        os.utime(changed, ns=(1, 1))
    store.read.clear()
    assert store.contents(stage()[0].path) == store.contents(store.folder)
    assert store.read.total() > 0


def test_a_node_that_has_a_copy_reads_its_part_from_there(
    store: Store, stage: Callable[..., Outcomes]
) -> None:
    stage(hosts=("a",))
    store.read.clear()
    staged = stage(hosts=("a", "b"))
    assert [one.read_bytes for one in staged] == [0, store.read.total()]
    assert store.read.total() == pytest.approx(store.size / 2, abs=1)
    assert store.contents(staged[1].path) == store.contents(store.folder)


@pytest.mark.parametrize("content", [b"new", b"other bytes"])
def test_a_file_that_changes_meanwhile_is_one_error_on_all_ranks(
    store: Store, stage: Callable[..., Outcomes], own: Callable[[str], Path], content: bytes,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    assert len(b"other bytes") == (store.folder / "stats").stat().st_size

    def fill(path: Path, file: File, offset: int, into: memoryview) -> None:
        if path.name == "stats":
            path.write_bytes(content)
        store.fill(path, file, offset, into)

    monkeypatch.setattr(staging, "fill", fill)
    outcomes = stage()
    assert {type(one) for one in outcomes} == {StagingError}
    assert len({str(one) for one in outcomes}) == 1
    assert "must not change while it is staged" in str(outcomes[0])
    assert not halves(*map(own, "abc"))


@pytest.mark.parametrize("block_mib", [0, -1, float("nan"), float("inf")])
def test_blocks_that_hold_nothing_are_one_error_on_all_ranks(
    tmp_path: Path, block_mib: float
) -> None:
    def program(group: ThreadRank) -> Any:
        given = block_mib if group.rank == 1 else BLOCK_MIB
        return data.stage(tmp_path, group, folder=tmp_path, block_mib=given)

    outcomes = ThreadRanks(2, hosts=("a", "b")).outcomes(program)
    assert {type(one) for one in outcomes} == {StagingError}
    assert len({str(one) for one in outcomes}) == 1
    assert "rank 1: `block_mib > 0`, and finite, must hold" in str(outcomes[0])


@pytest.mark.parametrize("when", ["before", "while writing"])
def test_a_node_without_room_is_one_error_on_all_ranks(
    stage: Callable[..., Outcomes], own: Callable[[str], Path], when: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    if when == "before":
        usage = copies.shutil.disk_usage(own("b"))

        def of(path: Path) -> Any:
            return usage._replace(free=100) if path.is_relative_to(own("b")) else usage

        monkeypatch.setattr(copies.shutil, "disk_usage", of)
    else:
        write = copies.NodeCopy.write

        def full(self: copies.NodeCopy, file: File, offset: int, content: memoryview) -> None:
            if self.home.is_relative_to(own("b")) and offset > 2000:
                # Linux's device that is always full
                os.unlink(self._unfinished / file.name)
                os.symlink("/dev/full", self._unfinished / file.name)
            write(self, file, offset, content)

        monkeypatch.setattr(copies.NodeCopy, "write", full)
    outcomes = stage()
    assert {type(one) for one in outcomes} == {StagingError}
    assert len({str(one) for one in outcomes}) == 1
    assert str(own("b")) in str(outcomes[0])
    assert ("room for 0.0001 MB" if when == "before" else "No space left") in str(outcomes[0])
    assert not halves(*map(own, "abc"))
    monkeypatch.undo()
    assert not any(isinstance(one, Exception) for one in stage())


def test_an_interrupt_of_one_rank_ends_it_on_all_of_them(
    store: Store, own: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def program(group: ThreadRank) -> data.Staged:
        def pass_on(*args: Any, **named: Any) -> None:
            group.count += group.rank == 2
            ThreadRank.pass_on(group, *args, **named)

        group.pass_on = pass_on  # type: ignore[method-assign]
        folder = own(group.hosts[group.rank])
        return data.stage(store.folder, group, folder=folder, block_mib=BLOCK_MIB)

    outcomes = ThreadRanks(4, hosts=("a", "a", "b", "c")).outcomes(program)
    assert {type(one) for one in outcomes} == {KeyboardInterrupt}
    assert not halves(*map(own, "abc"))
    assert store.read.total() < store.size


def test_what_an_earlier_staging_left_half_is_not_taken_for_whole(
    store: Store, stage: Callable[..., Outcomes], own: Callable[[str], Path]
) -> None:
    path = stage()[0].path
    home = path.parent
    home.rename(home.with_name(f".{home.name}.part"))
    (home.with_name(f".{home.name}.part") / "litter").touch()
    staged = stage()
    assert store.contents(staged[0].path) == store.contents(store.folder)
    assert sorted(path.name for path in home.iterdir()) == ["manifest.json", "shared"]


def test_of_two_groups_one_copies_and_the_other_waits_for_it(
    store: Store, stage: Callable[..., Outcomes], own: Callable[[str], Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    home = stage(hosts=("a",))[0].path.parent
    (home / "manifest.json").unlink()
    lock = os.open(home.with_name(f".{home.name}.lock"), os.O_RDWR)
    fcntl.flock(lock, fcntl.LOCK_EX)
    waited = []

    def sleep(_seconds: float) -> None:
        waited.append(True)
        os.close(lock)

    monkeypatch.setattr(staging.time, "sleep", sleep)
    (staged,) = stage(hosts=("a",))
    assert waited == [True]
    assert staged.read_bytes == store.size


def test_copies_are_for_their_user_alone(
    stage: Callable[..., Outcomes], own: Callable[[str], Path]
) -> None:
    (staged,) = stage(hosts=("a",))
    home = staged.path.parent
    assert home.stat().st_mode & 0o077 == 0
    assert home.parent.stat().st_mode & 0o077 == 0
    (own("b") / home.parent.name).mkdir(mode=0o755)
    outcomes = stage(hosts=("a", "b"))
    assert all("mode 755" in str(one) and isinstance(one, StagingError) for one in outcomes)


def test_what_is_not_there_is_one_error_on_all_ranks(stage: Callable[..., Outcomes]) -> None:
    outcomes = stage(Path("/no/such/data"))
    assert {type(one) for one in outcomes} == {SourceNotFoundError}


def test_a_folder_that_is_not_there_is_one_error_on_all_ranks(store: Store, tmp_path: Path) -> None:
    def program(group: ThreadRank) -> data.Staged:
        return data.stage(store.folder, group, folder=tmp_path / "none")

    outcomes = ThreadRanks(2).outcomes(program)
    assert {type(one) for one in outcomes} == {StagingError}
    assert "Name the node's own storage" in str(outcomes[0])


def test_ranks_that_name_different_paths_are_refused(store: Store, own: Any) -> None:
    def program(group: ThreadRank) -> data.Staged:
        return data.stage(store.folder / ("train", "val")[group.rank], group, folder=own("a"))

    outcomes = ThreadRanks(2).outcomes(program)
    assert {type(one) for one in outcomes} == {SourcesDifferError}
    assert "path to be staged" in str(outcomes[0])


def test_a_single_process_stages_and_opens(tmp_path: Path) -> None:
    np.savez(tmp_path / "numbers.npz", x=np.arange(20), y=np.arange(20))
    staged = data.stage(tmp_path / "numbers.npz", folder=tmp_path)
    np.testing.assert_array_equal(data.open(staged).arrays()[1], np.arange(20))


def test_the_environment_names_a_nodes_own_storage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SLURM_TMPDIR", raising=False)
    monkeypatch.setenv("TMPDIR", "/second")
    assert copies.own_storage(None) == Path("/second")
    monkeypatch.setenv("SLURM_TMPDIR", "/first")
    assert copies.own_storage(None) == Path("/first")
    assert copies.own_storage("/said") == Path("/said")
