"""Records as a history reads them: what is told of the ranks stays JSON until somebody reads it.

It is more than half of what a long run's journal has, and a history keeps little of it
(``_thinning``).
"""

from __future__ import annotations

from typing import TypeVar

import msgspec

from interactive_dl.errors import JournalError
from interactive_dl.telemetry import events
from interactive_dl.telemetry._figures import RankSpread, RankTimes

_NULL = msgspec.Raw(b"null")
UNTOLD: tuple[object, ...] = (None, _NULL)
"""What ``ranks`` and ``spread`` are where they are not told."""

Told = TypeVar("Told", RankTimes, RankSpread)


class Sketch(events.Standing, frozen=True, tag="Progress"):
    """A ``Progress`` whose ``ranks`` and ``spread`` are as they are written."""

    ranks: msgspec.Raw = _NULL
    spread: msgspec.Raw = _NULL


class SketchRecord(events.Record, frozen=True):
    """A ``Record`` whose event may be a ``Sketch``."""

    event: Sketch | events.OtherEvent  # type: ignore[assignment]


def read(kind: type[Told], told: list[Told] | list[msgspec.Raw]) -> list[Told]:
    """What is told of the ranks by reports that are all whole, or all sketches.

    Raises:
        JournalError: what is written is no such thing.
    """
    if not (told and isinstance(told[0], msgspec.Raw)):
        return told  # type: ignore[return-value]
    written = b"[%b]" % b",".join(told)
    try:
        return msgspec.json.decode(written, type=list[kind])  # type: ignore[valid-type]
    except msgspec.MsgspecError as error:
        raise JournalError(
            f"A report tells of its ranks as {kind.__name__} has it, but a journal otherwise:"
            f" {error}. Its first line names the version of interactive-dl that wrote it; install"
            " that one, or a newer."
        ) from error
