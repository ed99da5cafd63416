"""RPV: telling jets of R-parity-violating supersymmetry from QCD jets in calorimeter images.

After Bhimji et al., "Deep Neural Networks for Physics Analysis on low-level whole-detector data
at the LHC" (arXiv:1711.03573). The events here are simulated by a small generator of our own.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from interactive_dl.science.rpv.config import FULL_SIZE, LAPTOP, Config
    from interactive_dl.science.rpv.data import Events, generate, write_hdf5, write_splits
    from interactive_dl.science.rpv.metric import Scores, score
    from interactive_dl.science.rpv.model import build_model

_PUBLIC = {
    "Config": "config",
    "Events": "data",
    "FULL_SIZE": "config",
    "LAPTOP": "config",
    "Scores": "metric",
    "build_model": "model",
    "generate": "data",
    "score": "metric",
    "write_hdf5": "data",
    "write_splits": "data",
}
__all__ = [
    "FULL_SIZE",
    "LAPTOP",
    "Config",
    "Events",
    "Scores",
    "build_model",
    "generate",
    "score",
    "write_hdf5",
    "write_splits",
]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(importlib.import_module(f"{__name__}.{_PUBLIC[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
