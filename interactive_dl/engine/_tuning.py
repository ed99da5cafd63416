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


_FUSION_MB, _CYCLE_MS = 128.0, 1.0


@dataclass(frozen=True)
class Tuning:
    """Tensor fusion: a message costs its latency however small it is, so Horovod waits a moment,
    copies what has become ready into one buffer, and reduces that.

    This package hands it all gradients of a step as one group, which travels as a whole; the knobs
    matter where a model has more gradients than the buffer holds, and for what is reduced besides.
    None is Horovod's own default, and is told it in so many words unless it tunes itself: what has
    been set once cannot be left open again in a process (Horovod 0.28 crashes).

    Attributes:
        fusion_mb: size of the buffer; 0 sends each tensor by itself.
        cycle_ms: how long it waits for more.
        cache: how many tensors' readiness it remembers, so that ranks exchange bits, not names.
        autotune: whether it looks for the best values while the training runs, by Bayesian
            optimisation; the first steps are slower. Compression is left alone, as it changes what
            comes out. Horovod cannot be started again in the same process then: not for another
            group, nor for the ranks that are left when one dies.
        autotune_log: a file in which rank 0 notes what it tries.
    """

    fusion_mb: float | None = None
    cycle_ms: float | None = None
    cache: int | None = None
    autotune: bool = False
    autotune_log: str | None = None

    def environment(self) -> dict[str, str]:
        """The variables that Horovod reads when it starts."""
        fusion_mb, cycle_ms = self.fusion_mb, self.cycle_ms
        if not self.autotune:
            fusion_mb = _FUSION_MB if fusion_mb is None else fusion_mb
            cycle_ms = _CYCLE_MS if cycle_ms is None else cycle_ms
        values = {
            "HOROVOD_FUSION_THRESHOLD": _bytes(fusion_mb),
            "HOROVOD_CYCLE_TIME": cycle_ms,
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

        Returns:
            Whether anything is other than it was.
        """
        before = {name: os.environ.pop(name) for name in _VARIABLES if name in os.environ}
        after = self.environment()
        os.environ.update(after)
        return before != after


def _bytes(megabytes: float | None) -> int | None:
    return None if megabytes is None else round(megabytes * 2**20)


def is_automatic() -> bool:
    """Whether Horovod tunes itself when it starts next."""
    return os.environ.get("HOROVOD_AUTOTUNE", "0") not in ("", "0")
