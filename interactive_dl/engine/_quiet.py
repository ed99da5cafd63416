"""TensorFlow's greetings go to the engine's log, not into the notebook."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

from interactive_dl.engine import _imports


def install() -> None:
    """Keep today's standard error, the engine's log, for what TensorFlow says when it loads.

    Its C++ library writes some lines before any of its settings can silence it. Call this before
    the kernel redirects standard error into the notebook.
    """
    log = os.dup(2)

    @contextmanager
    def to_log(_module: ModuleType) -> Iterator[None]:
        shown = os.dup(2)
        os.dup2(log, 2)
        try:
            yield
        finally:
            os.dup2(shown, 2)
            os.close(shown)

    _imports.around("tensorflow", to_log)
