"""Which numbers of a count have come."""

from __future__ import annotations

from bisect import bisect_right


class Seen:
    """A set of numbers from 0 that costs nothing while they come in order.

    Attributes:
        next: one more than the greatest number so far.
    """

    def __init__(self) -> None:
        self.next = 0
        # Stretches without a gap, ascending, between them at least one number that has not come:
        # first numbers, and one more than the last. The last stretch ends at ``next``.
        self._begins: list[int] = []
        self._ends: list[int] = []

    def add(self, number: int) -> bool:
        """Note a number; False if it was there already."""
        if number >= self.next:
            if number > self.next or not self._ends:
                self._begins.append(number)
                self._ends.append(number)
            self._ends[-1] = self.next = number + 1
            return True
        at = bisect_right(self._begins, number) - 1
        if at >= 0 and number < self._ends[at]:
            return False
        self._fill(at, number)
        return True

    def add_next(self, numbers: list[int]) -> bool:
        """Note many at once if they just go on; otherwise nothing is noted, and it says False."""
        begin = self.next
        if (
            not numbers
            or numbers[0] != begin
            or numbers != list(range(begin, begin + len(numbers)))
        ):
            return False
        self.add(begin)
        self._ends[-1] = self.next = begin + len(numbers)
        return True

    def gaps(self) -> tuple[tuple[int, int], ...]:
        """Stretches of numbers that have not come though greater ones have: first and last."""
        begins, ends = [*self._begins], [0, *self._ends[:-1]]
        return tuple(
            (end, begin - 1) for end, begin in zip(ends, begins, strict=False) if end < begin
        )

    def _fill(self, at: int, number: int) -> None:
        """Lengthen the stretch ``at``, or the one after it, or both into one, or begin one."""
        joins_left = at >= 0 and self._ends[at] == number
        joins_right = self._begins[at + 1] == number + 1
        if joins_left and joins_right:
            self._ends[at] = self._ends.pop(at + 1)
            del self._begins[at + 1]
        elif joins_left:
            self._ends[at] = number + 1
        elif joins_right:
            self._begins[at + 1] = number
        else:
            self._begins.insert(at + 1, number)
            self._ends.insert(at + 1, number + 1)
