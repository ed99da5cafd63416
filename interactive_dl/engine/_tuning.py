"""How Horovod gathers small tensors into large messages."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

_VARIABLES = (
    "HOROVOD_FUSION_THRESHOLD",
    "HOROVOD_CYCLE_TIME",
    "HOROVOD_CACHE_CAPACITY",
    "HOROVOD_AUTOTUNE",
    "HOROVOD_AUTOTUNE_LOG",
)
_CACHE = 1024
"""Horovod's own. Where it tunes itself it would try none, and rank 0 could not lose a rank then."""


@dataclass(frozen=True)
class Tuning:
    """Tensor fusion: a message costs its latency however small it is, so Horovod waits a moment,
    copies what has become ready into one buffer, and reduces that.

    This package hands it all gradients of a step as one group, which travels as a whole; the knobs
    matter where a model has more gradients than the buffer holds, and for what is reduced besides.
    None leaves Horovod's own default.

    Attributes:
        fusion_mb: size of the buffer; 0 sends each tensor by itself.
        cycle_ms: how long it waits for more.
        cache: how many tensors' readiness it remembers, so that ranks exchange bits, not names.
            Keep it above the number that a step reduces: rank 0 may crash with a rank that is lost
            while it gathers names (Horovod 0.28 does not look whether it got them).
        autotune: whether it looks for the best values while the training runs, by Bayesian
            optimisation; the first steps are slower. Compression is left alone, as it changes what
            comes out, and so is the cache.
        autotune_log: a file in which rank 0 notes what it tries.
    """

    fusion_mb: float | None = None
    cycle_ms: float | None = None
    cache: int | None = None
    autotune: bool = False
    autotune_log: str | None = None

    def environment(self) -> dict[str, str]:
        """The variables that Horovod reads when it starts."""
        cache = _CACHE if self.autotune and self.cache is None else self.cache
        values = {
            "HOROVOD_FUSION_THRESHOLD": _bytes(self.fusion_mb),
            "HOROVOD_CYCLE_TIME": self.cycle_ms,
            "HOROVOD_CACHE_CAPACITY": cache,
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

        Returns:
            Whether anything is other than it was.
        """
        before, after = variables(), self.environment()
        set_variables(after)
        return before != after


def variables() -> dict[str, str]:
    """What the next start of Horovod in this process reads."""
    return {name: os.environ[name] for name in _VARIABLES if name in os.environ}


def set_variables(values: Mapping[str, str]) -> None:
    """Have the next start read these and no others."""
    for name in _VARIABLES:
        os.environ.pop(name, None)
    os.environ.update(values)


def _bytes(megabytes: float | None) -> int | None:
    return None if megabytes is None else round(megabytes * 2**20)
