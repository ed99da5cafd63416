"""Modules completed when they are imported, and not before."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import pytest

from interactive_dl.engine import _imports


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    name = "a_module_for_the_test_of_imports"
    (tmp_path / f"{name}.py").write_text("state = ['body']")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield name
    sys.modules.pop(name, None)
    _imports._finder().watched.pop(name, None)


@contextmanager
def note(module: ModuleType) -> Iterator[None]:
    module.__dict__["before"] = not hasattr(module, "state")
    yield
    module.state.append("after")


def test_a_watched_module_runs_inside_its_context(module: str) -> None:
    _imports.around(module, note)
    loaded = importlib.import_module(module)
    assert loaded.before
    assert loaded.state == ["body", "after"]


def test_watching_imports_nothing(module: str) -> None:
    _imports.around(module, note)
    assert module not in sys.modules


def test_a_module_that_is_loaded_is_left_alone(module: str) -> None:
    loaded = importlib.import_module(module)
    _imports.around(module, note)
    assert importlib.import_module(module) is loaded
    assert loaded.state == ["body"]


def test_a_watched_module_is_completed_once(module: str) -> None:
    _imports.around(module, note)
    _imports.around(module, note)
    assert importlib.import_module(module).state == ["body", "after"]


def test_one_finder_serves_all(module: str) -> None:
    for name in ("one_that_is_never_imported", module):
        _imports.around(name, note)
    assert sum(isinstance(finder, _imports._Finder) for finder in sys.meta_path) == 1
    _imports._finder().watched.pop("one_that_is_never_imported")


def test_a_watched_module_that_does_not_exist_is_missed_as_ever() -> None:
    _imports.around("a_module_that_nobody_wrote", note)
    with pytest.raises(ModuleNotFoundError, match="a_module_that_nobody_wrote"):
        importlib.import_module("a_module_that_nobody_wrote")
    _imports._finder().watched.pop("a_module_that_nobody_wrote")
