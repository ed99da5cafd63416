"""What goes to a browser is what it does not have yet."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from interactive_dl_widgets._columns import Columns, Patch, encode, patch

ROWS = st.lists(st.tuples(st.floats(allow_nan=True), st.sampled_from(["a", "b"])), max_size=8)


def columns(rows: list[tuple[float, str]]) -> Columns:
    return {"x": np.array([x for x, _ in rows], float), "host": tuple(host for _, host in rows)}


def applied(old: Columns, change: Patch) -> dict[str, list[Any]]:
    return {
        name: [*list(old[name])[: change.keep], *tail] if change.keep else list(tail)
        for name, tail in change.tail.items()
    }


@given(ROWS, ROWS)
def test_a_patch_makes_the_new_of_the_old(
    old_rows: list[tuple[float, str]], new_rows: list[tuple[float, str]]
) -> None:
    old, new = columns(old_rows), columns(new_rows)
    change = patch(old, new)
    result = {name: list(one) for name, one in old.items()} if not change else applied(old, change)
    assert np.array_equal(np.array(result["x"], float), new["x"], equal_nan=True)
    assert result["host"] == list(new["host"])


def test_rows_that_both_begin_with_are_not_sent() -> None:
    rows = [(1.0, "a"), (float("nan"), "b"), (3.0, "a")]
    change = patch(columns(rows), columns([*rows, (4.0, "b")]))
    assert change is not None
    assert (change.keep, list(change.tail["x"]), list(change.tail["host"])) == (3, [4.0], ["b"])


def test_what_has_not_changed_makes_no_patch() -> None:
    assert patch(columns([(1.0, "a")]), columns([(1.0, "a")])) is None


def test_fewer_rows_are_a_patch_without_a_tail() -> None:
    change = patch(columns([(1.0, "a"), (2.0, "a")]), columns([(1.0, "a")]))
    assert change is not None
    assert (change.keep, len(change.tail["x"])) == (1, 0)


def test_columns_of_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match=r"equal lengths.*'x': 2, 'y': 1"):
        patch({}, {"x": np.zeros(2), "y": np.zeros(1)})


def test_numbers_go_as_bytes_in_the_order_in_which_they_are_named() -> None:
    tail: Columns = {"x": np.array([1, 2]), "host": ("a", "b"), "y": np.array([3.5, 4.5])}
    message, buffers = encode({"s": Patch(7, tail)})
    assert message == {"s": {"keep": 7, "numbers": ["x", "y"], "texts": {"host": ["a", "b"]}}}
    assert [np.frombuffer(one, "<f8").tolist() for one in buffers] == [[1, 2], [3.5, 4.5]]
