"""CosmoFlow: parameters of the universe from where its dark matter is, with 3-D convolutions.

After Mathuriya et al., "CosmoFlow: Using Deep Learning to Learn the Universe at Scale"
(arXiv:1808.04728; two decks print this number beside another paper's name), its predecessor at
CMU, and its successor in MLPerf HPC. The universes here are simulated by Lagrangian perturbation
theory.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from interactive_dl.science.cosmoflow.config import CMU, LAPTOP, MLPERF, SC18, Config, Target
    from interactive_dl.science.cosmoflow.cosmology import Cosmology
    from interactive_dl.science.cosmoflow.data import Volumes, generate, simulate, write_splits
    from interactive_dl.science.cosmoflow.metric import score
    from interactive_dl.science.cosmoflow.model import build_model
    from interactive_dl.science.cosmoflow.sources import RecordSource, UniverseSource, open

_PUBLIC = {
    "CMU": "config",
    "Config": "config",
    "Cosmology": "cosmology",
    "LAPTOP": "config",
    "MLPERF": "config",
    "RecordSource": "sources",
    "SC18": "config",
    "Target": "config",
    "UniverseSource": "sources",
    "Volumes": "data",
    "build_model": "model",
    "generate": "data",
    "open": "sources",
    "score": "metric",
    "simulate": "data",
    "write_splits": "data",
}
__all__ = [
    "CMU",
    "LAPTOP",
    "MLPERF",
    "SC18",
    "Config",
    "Cosmology",
    "RecordSource",
    "Target",
    "UniverseSource",
    "Volumes",
    "build_model",
    "generate",
    "open",
    "score",
    "simulate",
    "write_splits",
]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(importlib.import_module(f"{__name__}.{_PUBLIC[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
