"""Learning-rate rules for large batches: pure functions of the number of ranks and the epoch."""

from __future__ import annotations

import math
from typing import Literal

Rule = Literal["linear", "sqrt"]


def scale_lr(learning_rate: float, rule: Rule = "linear", ranks: int | None = None) -> float:
    """Scale a one-rank learning rate to the global batch of all ranks.

    ``linear``: lr * ranks (Goyal et al. 2017, arXiv 1706.02677). ``sqrt``: lr * sqrt(ranks),
    as the error of a mean of ``ranks`` batches falls with the root.

    Args:
        learning_rate: what one rank alone would use.
        rule: ``linear`` or ``sqrt``.
        ranks: by default the size of this engine's group.

    Raises:
        ValueError: an unknown rule, or a negative learning rate.
    """
    if ranks is None:
        from interactive_dl.engine.group import current

        ranks = current().size
    if learning_rate < 0:
        raise ValueError(f"A learning rate must be >= 0, but got {learning_rate}.")
    factors = {"linear": float(ranks), "sqrt": math.sqrt(ranks)}
    if rule not in factors:
        raise ValueError(f"rule must be one of {', '.join(factors)}, but got {rule!r}.")
    return learning_rate * factors[rule]


def warmup_factor(epoch: float, warmup_epochs: float, start_factor: float) -> float:
    """Share of the full learning rate at a fractional epoch of a gradual warm-up.

    Rises linearly from ``start_factor`` to 1 over ``warmup_epochs``; with
    ``start_factor = 1/ranks`` this is Horovod's ``1/N * (epoch * (N-1) / W + 1)``.
    """
    if epoch >= warmup_epochs:
        return 1.0
    return start_factor + (1.0 - start_factor) * epoch / warmup_epochs
