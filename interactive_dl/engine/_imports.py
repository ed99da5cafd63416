"""Doing something around the import of a module, whenever it comes."""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from types import ModuleType

Around = Callable[[ModuleType], AbstractContextManager[None]]


def around(name: str, context: Around) -> None:
    """Run the body of module ``name`` inside ``context(module)``, if it is still to be imported."""
    if name not in sys.modules:
        _finder().watched[name] = context


def _finder() -> _Finder:
    for finder in sys.meta_path:
        if isinstance(finder, _Finder):
            return finder
    finder = _Finder()
    sys.meta_path.insert(0, finder)
    return finder


class _Finder(importlib.abc.MetaPathFinder):
    """Finds the watched modules as Python would, and wraps their loaders."""

    def __init__(self) -> None:
        self.watched: dict[str, Around] = {}

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name not in self.watched:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            _wrap(spec.loader, self.watched[name])
        return spec


def _wrap(loader: importlib.abc.Loader, context: Around) -> None:
    """Wrap one method of this one loader: modules are still asked of it for data and sources."""
    original = loader.exec_module

    def exec_module(module: ModuleType) -> None:
        with context(module):
            original(module)

    setattr(loader, "exec_module", exec_module)  # noqa: B010
