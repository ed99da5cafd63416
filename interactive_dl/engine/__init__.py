"""What runs on the engines: groups, distributed optimizers, callbacks.

The only room that imports Horovod and MPI. Every name loads when it is first used, so that
``from interactive_dl import engine`` brings in no framework.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from interactive_dl.engine._callbacks import callbacks
    from interactive_dl.engine._optimizer import distribute
    from interactive_dl.engine._warmup import WarmUp
    from interactive_dl.engine.group import Group, current, init
    from interactive_dl.engine.knobs import Knob
    from interactive_dl.engine.schedules import scale_lr

_PUBLIC = {
    "Group": "group",
    "Knob": "knobs",
    "WarmUp": "_warmup",
    "callbacks": "_callbacks",
    "current": "group",
    "distribute": "_optimizer",
    "init": "group",
    "scale_lr": "schedules",
}
__all__ = ["Group", "Knob", "WarmUp", "callbacks", "current", "distribute", "init", "scale_lr"]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(importlib.import_module(f"{__name__}.{_PUBLIC[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
