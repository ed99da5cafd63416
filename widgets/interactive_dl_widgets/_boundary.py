"""The one place where a widget's errors end."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class ErrorBoundary:
    """Shows what goes wrong behind a widget, where nobody would see an exception.

    Args:
        show: gets the traceback's text, line by line.
        raises: whether errors go on from here; tests want that.
    """

    def __init__(self, show: Callable[[str], None], *, raises: bool = False) -> None:
        self._show = show
        self._raises = raises

    @contextmanager
    def __call__(self, doing: str) -> Iterator[None]:
        """Catch what is raised in this block.

        Args:
            doing: what failed, in a word or two.
        """
        try:
            yield
        except Exception as error:
            self._show(f"{doing}: {type(error).__name__}: {error}")
            for line in traceback.format_exc().splitlines():
                self._show(f"    {line}")
            if self._raises:
                raise
