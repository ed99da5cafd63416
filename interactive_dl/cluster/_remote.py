"""Calling a function of the engines' room from the notebook's, which does not import it."""

from __future__ import annotations

import importlib
from typing import Any


def call(target: str, *args: Any, **options: Any) -> Any:
    """Run ``module:function`` on an engine; a view sends this function there by its name."""
    module, function = target.split(":")
    return getattr(importlib.import_module(module), function)(*args, **options)
