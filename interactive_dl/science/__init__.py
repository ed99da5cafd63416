"""The seed cases: each with its data, its network, its metric and its gate.

from interactive_dl import science

result = science.run(science.case("rpv"), "laptop", seed=1)
result.metrics, result.missed
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from interactive_dl.errors import UnknownCaseError

if TYPE_CHECKING:
    from interactive_dl.science.definition import Bound, Case, Control, Proof, Published, Task
    from interactive_dl.science.running import Result, run
    from interactive_dl.science.training import fit

NAMES = {
    "digits": "interactive_dl.science.digits",
    "rpv": "interactive_dl.science.rpv.case",
    "hep": "interactive_dl.science.hep.case",
    "convnets": "interactive_dl.science.convnets.case",
    "cosmoflow": "interactive_dl.science.cosmoflow.case",
    "cosmogan": "interactive_dl.science.cosmogan.case",
    "climate_boxes": "interactive_dl.science.climate_boxes.case",
    "climate_masks": "interactive_dl.science.climate_masks.case",
}
"""Modules of the cases, by name; each has its case as ``CASE``."""

_PUBLIC = {
    "Bound": "definition",
    "Case": "definition",
    "Control": "definition",
    "Proof": "definition",
    "Published": "definition",
    "Result": "running",
    "Task": "definition",
    "fit": "training",
    "run": "running",
}
__all__ = [
    "Bound",
    "Case",
    "Control",
    "Proof",
    "Published",
    "Result",
    "Task",
    "case",
    "cases",
    "fit",
    "run",
]


def case(name: str) -> Case[Any]:
    """A case by name.

    Raises:
        UnknownCaseError: it is none of ``NAMES``.
    """
    if name not in NAMES:
        raise UnknownCaseError(f"There is no case {name!r}; there are {', '.join(NAMES)}.")
    found: Case[Any] = importlib.import_module(NAMES[name]).CASE
    return found


def cases() -> tuple[Case[Any], ...]:
    """All cases."""
    return tuple(case(name) for name in NAMES)


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(importlib.import_module(f"{__name__}.{_PUBLIC[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
