"""CosmoGAN: maps of weak gravitational lensing from a generative adversarial network.

After Mustafa et al., "CosmoGAN: creating high-fidelity weak lensing convergence maps using
Generative Adversarial Networks" (arXiv:1706.02390, Comput. Astrophys. Cosmol. 6 (2019) 1). The maps
here are random fields of our own.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from interactive_dl.science.cosmogan.config import (
        FULL_CONDITIONAL,
        FULL_SIZE,
        LAPTOP,
        LAPTOP_CONDITIONAL,
        Config,
    )
    from interactive_dl.science.cosmogan.judging import dream, dream_from
    from interactive_dl.science.cosmogan.maps import Maps, decode, encode, generate, write_splits
    from interactive_dl.science.cosmogan.metric import minkowski, power_spectrum, score
    from interactive_dl.science.cosmogan.model import CosmoGAN
    from interactive_dl.science.cosmogan.sources import MapSource, open

_PUBLIC = {
    "Config": "config",
    "CosmoGAN": "model",
    "FULL_CONDITIONAL": "config",
    "FULL_SIZE": "config",
    "LAPTOP": "config",
    "LAPTOP_CONDITIONAL": "config",
    "MapSource": "sources",
    "Maps": "maps",
    "decode": "maps",
    "dream": "judging",
    "dream_from": "judging",
    "encode": "maps",
    "generate": "maps",
    "minkowski": "metric",
    "open": "sources",
    "power_spectrum": "metric",
    "score": "metric",
    "write_splits": "maps",
}
__all__ = [
    "FULL_CONDITIONAL",
    "FULL_SIZE",
    "LAPTOP",
    "LAPTOP_CONDITIONAL",
    "Config",
    "CosmoGAN",
    "MapSource",
    "Maps",
    "decode",
    "dream",
    "dream_from",
    "encode",
    "generate",
    "minkowski",
    "open",
    "power_spectrum",
    "score",
    "write_splits",
]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(importlib.import_module(f"{__name__}.{_PUBLIC[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
