"""Of two trainings that have one checkpoint file, only the one that took it last writes it."""

from __future__ import annotations

import functools
import itertools
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interactive_dl.engine import _fencing
from interactive_dl.engine._fencing import Token
from interactive_dl.errors import CheckpointTakenError

WAIT_S = 30.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "runs" / "rpv.keras"


def filled(text: str) -> Callable[[Path], None]:
    def fill(file: Path) -> None:
        file.write_text(text)

    return fill


def names(path: Path) -> set[str]:
    return {file.name for file in path.parent.iterdir()}


def test_who_has_taken_a_file_writes_it(path: Path) -> None:
    mine = Token("rpv", "me@n1")
    _fencing.take(path, mine)
    for text in ("first", "second"):
        _fencing.write(path, mine, filled(text))
        assert path.read_text() == text
    assert names(path) == {"rpv.keras", ".rpv.keras.writer"}


def test_a_writer_that_was_cut_off_is_told_who_goes_on_and_since_when(path: Path) -> None:
    cut_off = Token("rpv", "me@n1", taken_at_s=0.0)
    _fencing.take(path, cut_off)
    _fencing.write(path, cut_off, filled("old"))
    _fencing.take(path, Token("rpv again", "me@n2 (engine 4)", taken_at_s=1_795_000_000.0))
    words = r"'rpv again' of me@n2 \(engine 4\), since 2026-11-1\d \d\d:\d\d:40"
    with pytest.raises(CheckpointTakenError, match=words):
        _fencing.write(path, cut_off, filled("late"))
    assert path.read_text() == "old"
    assert names(path) == {"rpv.keras", ".rpv.keras.writer"}


def test_what_a_killed_writer_left_is_removed_and_nothing_else(path: Path) -> None:
    killed, mine = Token("rpv", "me@n1"), Token("rpv", "me@n1")
    others = {"rpv.keras", "rpv.b.keras", f".rpv.b.{killed.id}.keras", ".rpv.mine.keras"}
    path.parent.mkdir()
    for name in {*others, f".rpv.{killed.id}.keras"}:
        (path.parent / name).touch()
    _fencing.take(path, mine)
    assert names(path) == {*others, ".rpv.keras.writer"}


def test_where_the_folder_was_emptied_the_first_to_write_has_the_file(path: Path) -> None:
    first, last = Token("rpv", "me@n1"), Token("rpv", "me@n2")
    _fencing.take(path, first)
    _fencing.take(path, last)
    for file in path.parent.iterdir():
        file.unlink()
    path.parent.rmdir()
    _fencing.write(path, first, filled("first"))
    with pytest.raises(CheckpointTakenError):
        _fencing.write(path, last, filled("last"))


def test_an_error_of_the_writing_itself_is_raised(path: Path) -> None:
    mine = Token("rpv", "me@n1")
    _fencing.take(path, mine)

    def break_off(file: Path) -> None:
        file.touch()
        raise FileNotFoundError("a vocabulary that a layer wants")

    with pytest.raises(FileNotFoundError, match="vocabulary"):
        _fencing.write(path, mine, break_off)
    assert names(path) == {".rpv.keras.writer"}


class Training(threading.Thread):
    """Takes the file and writes it some times; it stands still before each file operation.

    What it writes is what it read, and a word for each time.
    """

    def __init__(self, path: Path, number: int, times: int) -> None:
        super().__init__(daemon=True)
        self.path, self.number, self.times = path, number, times
        self.is_over = self.is_fenced = False
        self.error: BaseException | None = None
        self._go, self._stands = threading.Semaphore(0), threading.Semaphore(0)

    def begin(self) -> None:
        self.start()
        assert self._stands.acquire(timeout=WAIT_S)

    def go_on(self) -> None:
        self._go.release()
        assert self._stands.acquire(timeout=WAIT_S)

    def stand(self) -> None:
        self._stands.release()
        assert self._go.acquire(timeout=WAIT_S)

    def run(self) -> None:
        try:
            self._train()
        except CheckpointTakenError:
            self.is_fenced = True
        except Exception as error:  # noqa: BLE001 - the test raises it
            self.error = error
        finally:
            self.is_over = True
            self._stands.release()

    def _train(self) -> None:
        token = Token(f"{self.number}", "me")
        _fencing.take(self.path, token)
        text = self.path.read_text() if self.path.exists() else ""
        for time in range(self.times):
            text += f"{self.number}.{time} "
            _fencing.write(self.path, token, filled(text))


def stand_before(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def standing(*args: Any, **kwargs: Any) -> Any:
        me = threading.current_thread()
        if isinstance(me, Training):
            me.stand()
        return method(*args, **kwargs)

    return standing


@pytest.fixture(scope="module")
def _operations_one_by_one() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("read_text", "write_text", "replace", "unlink", "exists", "glob"):
            patch.setattr(Path, name, stand_before(getattr(Path, name)))
        yield


@settings(deadline=None, max_examples=150)
@given(order=st.lists(st.integers(0, 2), min_size=20, max_size=90))
@pytest.mark.usefixtures("_operations_one_by_one")
def test_in_whatever_order_two_or_three_write_nothing_is_lost_after_it_was_read(
    order: list[int],
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rpv.keras"
        trainings = [Training(path, number, times=2) for number in range(3)]
        for one in trainings:
            one.begin()
        before = ""
        for turn in itertools.chain(order, itertools.repeat(0)):
            left = [one for one in trainings if not one.is_over]
            if not left:
                break
            left[turn % len(left)].go_on()
            now = path.read_text() if path.exists() else ""
            assert now.startswith(before), "somebody wrote what does not go on from what was there"
            before = now
        assert [one.error for one in trainings] == [None] * 3
        assert not all(one.is_fenced for one in trainings)
        whole = [one.number for one in trainings if not one.is_fenced]
        assert all(f"{number}.0 {number}.1 " in before for number in whole)
        assert {file.name for file in path.parent.iterdir()} == {path.name, ".rpv.keras.writer"}
