"""The study as a command: ``python -m interactive_dl.bench.large_batch``."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import interactive_dl as idl
from interactive_dl.bench.large_batch.judging import (
    Outcome,
    claims_table,
    outcomes,
    table,
    tuning_table,
)
from interactive_dl.bench.large_batch.problems import PROBLEMS, prepare
from interactive_dl.bench.large_batch.trials import study, tuning


def main(arguments: Sequence[str] | None = None) -> None:
    """Start engines, try the grids, and print the tables."""
    parser = argparse.ArgumentParser(prog="python -m interactive_dl.bench.large_batch")
    parser.add_argument("cases", nargs="*", default=list(PROBLEMS), metavar="CASE")
    parser.add_argument("--engines", type=int, default=2, help="how many (default: 2)")
    parser.add_argument("--seeds", type=int, default=5, help="how many (default: 5)")
    parser.add_argument("--tune", action="store_true", help="compare rates at the base instead")
    parser.add_argument("--output", type=Path, help="a JSON file for what came of each trial")
    chosen = parser.parse_args(arguments)
    for name in chosen.cases:
        if name not in PROBLEMS:
            parser.error(f"The study has the cases {', '.join(PROBLEMS)}, but got {name!r}.")
    seeds = range(chosen.seeds)
    found: dict[str, list[Outcome]] = {}
    with idl.Cluster(engines=chosen.engines) as cluster:
        for name in chosen.cases:
            problem = PROBLEMS[name]
            search = (tuning if chosen.tune else study)(problem, prepare(problem), seeds)
            search.start(cluster).wait()
            found[name] = outcomes(search.book)
            search.close()
            shown = (tuning_table if chosen.tune else table)(found[name])
            print(f"{name}:\n\n{shown}\n", flush=True)
    if not chosen.tune:
        print(claims_table(found))
    if chosen.output:
        text = {name: [asdict(one) for one in some] for name, some in found.items()}
        chosen.output.write_text(json.dumps(text, indent=1) + "\n")


if __name__ == "__main__":
    main()
