"""What a larger batch costs, and what the rules against it save: epochs to a target, by batch.

``python -m interactive_dl.bench.large_batch`` has the engines of a cluster of its own try a grid:
batches of 1, 2, 4, 8 and 16 times a base, each under six methods and with several seeds. A rate is
tuned once for each optimizer, at the base; from there on the rules alone change it.

A trial has one engine. N ranks with a batch of B / N each would take the same samples in each step
(``data.shards``) and the mean of the same gradients, so a batch is what it is wherever it is made;
with ``engines_per_trial`` the same objective is tried on several.
"""

from __future__ import annotations

from interactive_dl.bench.large_batch.judging import (
    Outcome,
    breaks,
    claims,
    claims_table,
    medians,
    outcomes,
    table,
    tuning_table,
)
from interactive_dl.bench.large_batch.problems import (
    FACTORS,
    METHODS,
    PROBLEMS,
    RULES,
    Problem,
    prepare,
)
from interactive_dl.bench.large_batch.trials import method_of, objective, study, tuning

__all__ = [
    "FACTORS",
    "METHODS",
    "Outcome",
    "PROBLEMS",
    "Problem",
    "RULES",
    "breaks",
    "claims",
    "claims_table",
    "medians",
    "method_of",
    "objective",
    "outcomes",
    "prepare",
    "study",
    "table",
    "tuning",
    "tuning_table",
]
