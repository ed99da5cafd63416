"""The study of thread counts: which are tried, what a line says, and one real step."""

from __future__ import annotations

import pytest

from interactive_dl import cli
from interactive_dl.bench import threads
from interactive_dl.bench.threads import Timing


@pytest.mark.parametrize(
    ("most", "tried"), [(1, [1]), (2, [1, 2]), (6, [1, 2, 4, 6]), (8, [1, 2, 4, 8])]
)
def test_numbers_of_threads_double_up_to_the_most(most: int, tried: list[int]) -> None:
    assert threads.doubling(most) == tried


def test_the_fastest_number_has_a_star() -> None:
    lines = threads.table(
        [
            Timing(1, 32, (2.0, 1.0, 9.0), 4_000_000_000),
            Timing(2, 32, (1.0,), 4_000_000_000),
            Timing(4, 32, (4.0,), 4_000_000_000),
        ]
    ).splitlines()
    assert lines[1].split() == ["1", "16.0", "2.0", "1.00"]
    assert lines[2].split() == ["2", "32.0", "4.0", "2.00", "*"]
    assert lines[3].split() == ["4", "8.0", "1.0", "0.50"]


def test_a_network_is_timed_with_a_number_of_threads(
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ["--threads", "2", "--batch", "4", "--steps", "1"]
    assert cli.main(["science", "threads", "digits", *words]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:]] == ["2"]
