"""The notebook's side: starting, watching, mending and stopping engines.

Names load when they are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from interactive_dl.cluster._cluster import Cluster
    from interactive_dl.cluster._doctor import Report, doctor
    from interactive_dl.cluster._values import Death, Engine, State, Summary

_PUBLIC = {
    "Cluster": "_cluster",
    "Death": "_values",
    "Engine": "_values",
    "Report": "_doctor",
    "State": "_values",
    "Summary": "_values",
    "doctor": "_doctor",
}
__all__ = ["Cluster", "Death", "Engine", "Report", "State", "Summary", "doctor"]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(importlib.import_module(f"{__name__}.{_PUBLIC[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
