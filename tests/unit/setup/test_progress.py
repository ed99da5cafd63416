from __future__ import annotations

import io
from collections.abc import Iterator

import pytest

from deploy.setup.progress import PipPercent, Progress, cmake_percent, elapsed


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock_s() -> Iterator[int]:
    return iter(range(0, 10_000, 60))


@pytest.mark.parametrize(
    ("line", "percent"),
    [
        ("[  1%] Building CXX object third_party/gloo.cc.o", 1),
        ("  [ 42%] Building CXX object horovod/common.cc.o", 42),
        ("[100%] Linking CXX shared library mpi_lib.so", 100),
        ("  -- Found MPI_CXX: /env/lib/libmpi.so", None),
        ("progress: 50%", None),
        ("", None),
    ],
)
def test_cmakes_percentage_is_read_from_its_own_lines_only(line: str, percent: int | None) -> None:
    assert cmake_percent(line) == percent


def test_pips_packages_are_counted_once_each() -> None:
    percent = PipPercent(expected=4)
    assert percent("Collecting numpy (from -c constraints.txt)") == 22
    assert percent("Collecting numpy") == 22
    assert percent("Requirement already satisfied: h5py==3.14.0 in ./lib") == 45
    assert percent("  Downloading h5py-3.14.0.whl (4.9 MB)") is None
    assert percent("Installing collected packages: numpy, h5py") == 95


def test_a_log_file_gets_a_line_every_ten_percent(clock_s: Iterator[int]) -> None:
    stream = io.StringIO()
    progress = Progress("Building", stream, lambda: next(clock_s))
    for percent in range(1, 101):
        progress.update(percent)
    shown = [line.split()[1] for line in stream.getvalue().splitlines()]
    assert shown == ["1", *map(str, range(10, 101, 10))]


def test_percentages_never_go_back(clock_s: Iterator[int]) -> None:
    stream = Terminal()
    progress = Progress("Building", stream, lambda: next(clock_s))
    for percent in (50, 10, None):
        progress.update(percent)
    assert stream.getvalue().count("50 %") == 3


def test_a_terminal_gets_one_line_that_is_rewritten(clock_s: Iterator[int]) -> None:
    stream = Terminal()
    progress = Progress("Building", stream, lambda: next(clock_s))
    progress.update(1)
    progress.update(2)
    progress.finish()
    *rewritten, last = stream.getvalue().split("\r")[1:]
    assert all("\n" not in one for one in rewritten)
    assert last.endswith("done  3:00\n")


def test_time_is_shown_in_minutes_and_seconds() -> None:
    assert elapsed(0.9) == "0:00"
    assert elapsed(187.2) == "3:07"
