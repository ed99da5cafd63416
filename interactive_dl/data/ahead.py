"""Reading one item ahead, in a thread."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Key = TypeVar("Key")
Item = TypeVar("Item")


def read_ahead(read: Callable[[Key], Item], keys: Iterable[Key]) -> Generator[Item, None, None]:
    """``map(read, keys)`` where a thread reads the next item while the caller uses this one.

    The thread starts with the first item; it has ended when the iterator is exhausted or closed.

    Raises:
        Exception: what reading an item raised, where that item is due.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="read-ahead") as thread:
        due: Future[Item] | None = None
        for key in keys:
            following = thread.submit(read, key)
            if due is not None:
                yield due.result()
            due = following
        if due is not None:
            yield due.result()
