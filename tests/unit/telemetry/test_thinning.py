"""A long run's history stays small, and the same whatever order its records come in."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from interactive_dl.telemetry._thinning import ThinTable, thinned

MOST = 40
Row = tuple[int, int]
"""Engine and seq."""


def block(rows: list[Row], width: int = 2) -> dict[str, np.ndarray]:
    engine = np.array([row[0] for row in rows], float)
    seq = np.array([row[1] for row in rows], float)
    values = np.arange(width) + seq[:, None]
    return {"engine": engine, "seq": seq, "time_s": 2 * seq, "step": seq, "values": values}


def table_of(*blocks: dict[str, np.ndarray], most: int = MOST) -> ThinTable:
    table = ThinTable(("step", "time_s", "engine", "seq"), most)
    for one in blocks:
        table.append(one)
    return table


def shown(table: ThinTable) -> dict[str, Any]:
    return {name: column.tolist() for name, column in table.columns(()).items()}


rows_of_two_engines = st.lists(
    st.tuples(st.integers(3, 4), st.integers(0, 300)), unique=True, min_size=1, max_size=200
)


@given(rows_of_two_engines, st.data())
def test_the_same_rows_make_the_same_columns_in_any_order_and_parts(
    rows: list[Row], data: st.DataObject
) -> None:
    other = data.draw(st.permutations(rows))
    parts = [other[begin : begin + 7] for begin in range(0, len(other), 7)]
    looked_at = table_of()
    for part in parts:
        looked_at.append(block(part))
        looked_at.columns(())
    assert shown(table_of(block(rows))) == shown(table_of(*map(block, parts))) == shown(looked_at)


@given(rows_of_two_engines)
def test_rows_are_kept_evenly_and_the_first_of_each_engine_always(rows: list[Row]) -> None:
    seq = np.array([row[1] for row in rows], float)
    engine = np.array([row[0] for row in rows], float)
    level, kept = thinned(engine, seq, MOST)
    assert kept.sum() <= MOST
    for one in set(engine):
        mine = np.sort(seq[engine == one])
        left = np.sort(seq[(engine == one) & kept])
        assert left[0] == mine[0]
        assert len(np.unique(left // 2**level)) == len(left)
        assert set(left // 2**level) == set(mine // 2**level)


def test_nothing_is_left_out_of_a_run_that_is_not_long() -> None:
    rows = [(3, seq) for seq in range(0, MOST * 3, 3)]
    assert table_of(block(rows), most=1000).columns(()).rows == MOST


def test_the_memory_stays_small_and_what_was_handed_out_stays_as_it_is() -> None:
    most = 1000
    table = table_of(most=most)
    handed_out = []
    for seq in range(5000):
        table.append(block([(3, seq)], width=10))
        if seq % 500 == 0:
            columns = table.columns(())
            handed_out.append((columns["values"], columns["values"].copy()))
        assert table._table.columns(()).rows * 10 <= 3 * most
    assert all(np.array_equal(before, copy) for before, copy in handed_out)
    assert most / 4 <= table.columns(()).rows * 10 <= most
