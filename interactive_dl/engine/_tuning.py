"""How Horovod gathers small tensors into large messages."""

from __future__ import annotations

import os
from dataclasses import dataclass

_VARIABLES = (
    "HOROVOD_FUSION_THRESHOLD",
    "HOROVOD_CYCLE_TIME",
    "HOROVOD_CACHE_CAPACITY",
    "HOROVOD_AUTOTUNE",
    "HOROVOD_AUTOTUNE_LOG",
)


_OWN = {"HOROVOD_FUSION_THRESHOLD": str(128 * 2**20), "HOROVOD_CYCLE_TIME": "1"}
"""Horovod's own values of what it remembers for good in a process once it was set."""


@dataclass(frozen=True)
class Tuning:
    """Tensor fusion: a message costs its latency however small it is, so Horovod waits a moment,
    copies what has become ready into one buffer, and reduces that.

    This package hands it all gradients of a step as one group, which travels as a whole; the knobs
    matter where a model has more gradients than the buffer holds, and for what is reduced besides.
    None leaves Horovod's own default.

    Horovod 0.28 crashes when it is started again, for another group or for the ranks that are left
    when one dies, in a process in which both buffer and time were set, or in which it has tuned
    itself. ``engine.init`` raises instead; set one of them where groups change.

    Attributes:
        fusion_mb: size of the buffer; 0 sends each tensor by itself.
        cycle_ms: how long it waits for more.
        cache: how many tensors' readiness it remembers, so that ranks exchange bits, not names.
        autotune: whether it looks for the best values while the training runs, by Bayesian
            optimisation; the first steps are slower. Compression is left alone, as it changes what
            comes out.
        autotune_log: a file in which rank 0 notes what it tries.
    """

    fusion_mb: float | None = None
    cycle_ms: float | None = None
    cache: int | None = None
    autotune: bool = False
    autotune_log: str | None = None

    def environment(self) -> dict[str, str]:
        """The variables that Horovod reads when it starts."""
        values = {
            "HOROVOD_FUSION_THRESHOLD": _bytes(self.fusion_mb),
            "HOROVOD_CYCLE_TIME": self.cycle_ms,
            "HOROVOD_CACHE_CAPACITY": self.cache,
            "HOROVOD_AUTOTUNE": 1 if self.autotune else None,
            "HOROVOD_AUTOTUNE_LOG": self.autotune_log if self.autotune else None,
        }
        return {name: str(value) for name, value in values.items() if value is not None}

    def __post_init__(self) -> None:
        for name in ("fusion_mb", "cycle_ms", "cache"):
            value = getattr(self, name)
            if value is not None and value < 0:
                raise ValueError(f"`{name} >= 0` must hold, but got {value}.")

    def apply(self) -> bool:
        """Have the next start of Horovod in this process read it.

        What was set before, and is left open now, is set to Horovod's own value.

        Returns:
            Whether anything is other than it was.
        """
        before = {name: os.environ.pop(name) for name in _VARIABLES if name in os.environ}
        after = self.environment()
        after = {name: own for name, own in _OWN.items() if name in before} | after
        os.environ.update(after)
        return before != after


def _bytes(megabytes: float | None) -> int | None:
    return None if megabytes is None else round(megabytes * 2**20)


def settled() -> frozenset[str]:
    """What Horovod remembers for good when it starts next; all of it where it tunes itself."""
    tunes_itself = os.environ.get("HOROVOD_AUTOTUNE", "0") not in ("", "0")
    return frozenset(name for name in _OWN if tunes_itself or os.environ.get(name))


def is_open(settled_before: frozenset[str]) -> bool:
    """Whether Horovod can be started again after starts with these settled."""
    return settled_before < _OWN.keys()
