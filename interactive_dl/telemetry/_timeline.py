"""Records that are kept whole, in the order of their time."""

from __future__ import annotations

from operator import le
from typing import Any

from interactive_dl.telemetry.events import Record


class Timeline:
    """Records of one kind by time; the last ``keep`` of them."""

    def __init__(self, keep: int | None = None) -> None:
        self._keep = keep
        self._records: list[Record] = []
        self._sorted = True

    def extend(self, records: list[Record]) -> None:
        """Add records, in any order."""
        if self._sorted:
            ages = list(map(age, self._records[-1:] + records))
            self._sorted = all(map(le, ages, ages[1:]))
        self._records += records
        if self._keep is not None and len(self._records) > 2 * self._keep:
            del self.records()[: -self._keep]

    def records(self) -> list[Record]:
        """By age."""
        if not self._sorted:
            self._records.sort(key=age)
            self._sorted = True
        return self._records

    def events(self) -> tuple[Any, ...]:
        """Of the last ``keep`` of them."""
        records = self.records()
        shown = records if self._keep is None else records[-self._keep :]
        return tuple(record.event for record in shown)


def age(record: Record) -> tuple[float, int, int]:
    """Sorts records by their time, those of one time in one and the same way."""
    return record.time_s, record.engine, record.seq
