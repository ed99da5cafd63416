"""A long run's history stays small, and the same whatever order its records come in."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from interactive_dl.telemetry._thinning import ThinTable, thinned

MOST, RECENT = 40, 3
Row = tuple[int, int]
"""Engine and seq."""


def block(rows: list[Row], width: int = 1) -> dict[str, np.ndarray]:
    """Rows of ``width`` ranks, some of one or two more."""
    engine = np.array([row[0] for row in rows], float)
    seq = np.array([row[1] for row in rows], float)
    ranks = width + seq[:, None] % 3
    values = np.where(np.arange(ranks.max()) < ranks, seq[:, None], np.nan)
    return {"engine": engine, "seq": seq, "time_s": 2 * seq, "step": seq, "values": values}


def table_of(*blocks: dict[str, np.ndarray], most: int = MOST) -> ThinTable:
    table = ThinTable(("step", "time_s", "engine", "seq"), most, RECENT)
    for one in blocks:
        kept = table.chosen(one)
        table.append({name: column[kept] for name, column in one.items()})
    return table


def shown(table: ThinTable) -> str:
    return repr({name: column.tolist() for name, column in table.columns(()).items()})


rows_of_two_engines = st.lists(
    st.tuples(st.integers(3, 4), st.integers(0, 120)), unique=True, min_size=20, max_size=80
)


@settings(max_examples=50)
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
    origin = block(rows)
    seq, engine = origin["seq"], origin["engine"]
    level, kept = thinned(origin, most=4)
    assert kept.sum() <= 4
    for one in set(engine):
        mine = np.sort(seq[engine == one])
        left = np.sort(seq[(engine == one) & kept])
        assert left[0] == mine[0]
        assert len(np.unique(left // 2**level)) == len(left)
        assert set(left // 2**level) == set(mine // 2**level)


@given(rows_of_two_engines)
def test_the_newest_rows_are_there_however_long_the_run(rows: list[Row]) -> None:
    columns = table_of(*(block([row]) for row in rows)).columns(())
    by_age = sorted(rows, key=lambda row: (row[1], row[0]))
    kept = set(zip(columns["engine"].tolist(), columns["seq"].tolist(), strict=True))
    assert set(by_age[-RECENT:]) <= kept


def test_nothing_is_left_out_of_a_run_that_is_not_long() -> None:
    rows = [(3, seq) for seq in range(0, MOST * 3, 3)]
    assert table_of(block(rows), most=1000).columns(()).rows == MOST


def test_the_memory_stays_small_and_what_was_handed_out_stays_as_it_is() -> None:
    most = 1000
    table = table_of(most=most)
    handed_out = []
    for seq in range(5000):
        table.append(block([(3, seq)], width=8))
        if seq % 500 == 0:
            columns = table.columns(())
            handed_out.append((columns["values"], columns["values"].copy()))
        assert table._table.columns(()).rows * 10 <= 3 * most
    assert all(np.array_equal(before, copy, equal_nan=True) for before, copy in handed_out)
    assert most / 4 <= table.columns(()).rows * 10 <= most + 10 * RECENT
