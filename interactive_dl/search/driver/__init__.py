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
OPENING = "opening.json"
"""In the search's folder: what it is gone on with, an ``Opening``; gone once that was done."""


class Opening(msgspec.Struct, frozen=True):
    """What is asked of a search before it goes on; one that has ended is opened again for it.

    Attributes:
        who: asks for it.
        actions: by id.
    """

    who: str
    actions: dict[str, AnyAction]
