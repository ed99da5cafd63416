"""What runs on the engines: groups, distributed optimizers, callbacks.

The only room that imports Horovod and MPI. Every name loads when it is first used, so that
``from interactive_dl import engine`` brings in no framework.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from interactive_dl.engine._callbacks import callbacks
    from interactive_dl.engine._decay import decay
    from interactive_dl.engine._lag import Lagged
    from interactive_dl.engine._larc import Larc
    from interactive_dl.engine._layerwise import Lamb, Lars
    from interactive_dl.engine._normalization import SyncBatchNormalization, synchronize_batch_norm
    from interactive_dl.engine._optimizer import distribute
    from interactive_dl.engine._stages import Stages
    from interactive_dl.engine._tuning import Tuning
    from interactive_dl.engine._warmup import WarmUp
    from interactive_dl.engine.group import Group, current, init
    from interactive_dl.engine.knobs import Knob
    from interactive_dl.engine.schedules import scale_lr
    from interactive_dl.engine.trust_ratio import TrustRatio

_PUBLIC = {
    "Group": "group",
    "Knob": "knobs",
    "Lagged": "_lag",
    "Lamb": "_layerwise",
    "Larc": "_larc",
    "Lars": "_layerwise",
    "Stages": "_stages",
    "SyncBatchNormalization": "_normalization",
    "TrustRatio": "trust_ratio",
    "Tuning": "_tuning",
    "WarmUp": "_warmup",
    "callbacks": "_callbacks",
    "current": "group",
    "decay": "_decay",
    "distribute": "_optimizer",
    "init": "group",
    "scale_lr": "schedules",
    "synchronize_batch_norm": "_normalization",
}
__all__ = [
    "Group",
    "Knob",
    "Lagged",
    "Lamb",
    "Larc",
    "Lars",
    "Stages",
    "SyncBatchNormalization",
    "TrustRatio",
    "Tuning",
    "WarmUp",
    "callbacks",
    "current",
    "decay",
    "distribute",
    "init",
    "scale_lr",
    "synchronize_batch_norm",
]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(importlib.import_module(f"{__name__}.{_PUBLIC[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
