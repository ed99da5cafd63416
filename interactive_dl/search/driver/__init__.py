"""The process of a cluster that runs a search; the notebook may go, and the search goes on.

    people ── actions ──> recorder ── journal <id>.work ──> Conductor ── journal <id>.search ──> all
    engines ── words ───>                                    │    ^
            <── orders, through the recorder ────────────────┘    └── planner, Study
            <── tasks, through views of ipyparallel ───────────────── Hands

It alone writes the search's journal, and each decision before it is carried out. Killed, it is
started again, reads both journals, and knows of every trial whether it runs, has ended, or never
reached its engine; trials on engines do not notice.
"""

from __future__ import annotations

import msgspec

from interactive_dl.search.events import AnyAction

BEGAN = "began.json"
"""In the search's folder: how it begins."""
OBJECTIVE = "objective"
"""In the search's folder: what is tried, pickled."""
REOPENING = "reopening.json"
"""In the search's folder: an action that a search which has ended is opened again for."""


class Reopening(msgspec.Struct, frozen=True):
    """That action, its id, and who asks for it."""

    id: str
    who: str
    action: AnyAction
