"""``idl science run``: what each rank does, and what rank 0 prints."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from interactive_dl import science
from interactive_dl.bench.flops import Flops
from interactive_dl.errors import InteractiveDLError
from interactive_dl.science.definition import CONTROLS
from interactive_dl.science.running import SCALINGS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What says which case to run, and how."""
    parser.add_argument("case", choices=list(science.NAMES), metavar="CASE", help="its name")
    parser.add_argument("--size", default="laptop", help="laptop (default), full, ...")
    parser.add_argument("--seed", type=int, default=0, help="of weights and order (default: 0)")
    parser.add_argument("--data-seed", type=int, default=0, help="of the samples (default: 0)")
    parser.add_argument("--control", choices=CONTROLS, help="do not learn; the gate has to fail")
    parser.add_argument(
        "--scaling",
        choices=SCALINGS,
        default="strong",
        help="strong: the ranks share the batch (default); weak: each has one, with a higher rate",
    )
    parser.add_argument("--cache", type=Path, help="for generated samples (default: ~/.cache)")
    parser.add_argument("--data", type=Path, help="a folder with the original's own files")


def words(chosen: argparse.Namespace) -> list[str]:
    """What ``main`` takes to do what was chosen."""
    options = ("size", "seed", "data_seed", "control", "scaling", "cache", "data")
    given = {name: getattr(chosen, name) for name in options}
    return [
        chosen.case,
        *(
            f"--{name.replace('_', '-')}={value}"
            for name, value in given.items()
            if value is not None
        ),
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a case on this rank; the exit code says whether the gate did what it should."""
    parser = argparse.ArgumentParser(prog="python -m interactive_dl.bench.case")
    add_arguments(parser)
    chosen = parser.parse_args(arguments)
    try:
        result = run(chosen)
    except InteractiveDLError as error:
        print(error, file=sys.stderr)
        return 1
    return 0 if result.as_expected else 1


def run(chosen: argparse.Namespace) -> science.Result:
    """Run what was chosen; rank 0 prints."""
    import keras

    from interactive_dl import engine
    from interactive_dl.bench import flops

    case = science.case(chosen.case)
    result = science.run(
        case,
        chosen.size,
        seed=chosen.seed,
        data_seed=chosen.data_seed,
        control=chosen.control,
        scaling=chosen.scaling,
        cache=chosen.cache,
        folder=chosen.data,
        verbose=2,
    )
    if engine.current().rank == 0:
        network = case.build_model(case.config(chosen.size))
        counted = flops.count(network) if keras.backend.backend() == "tensorflow" else None
        print(f"\n{report(result, counted)}")
    return result


def report(result: science.Result, counted: Flops | None) -> str:
    """What was run, what it took, and the table of its metrics.

    Args:
        result: what came of it.
        counted: the network's operations; None: not counted on this backend.
    """
    kind = f", {result.control}" if result.control else ""
    ranks = f"{result.ranks} rank{'s' if result.ranks > 1 else ''}"
    return "\n".join(
        [
            f"{result.case}, {result.size}, seed {result.seed}{kind}, {ranks}:"
            f" {result.parameters:,} parameters{_costs(counted)}",
            f"data {result.data_s:.1f} s, training {result.training_s:.1f} s,"
            f" scoring {result.scoring_s:.1f} s; samples in {result.folder}",
            result.table(),
        ]
    )


def _costs(counted: Flops | None) -> str:
    if counted is None:
        return ""
    return f"; {flop(counted.forward)} per sample, {flop(counted.training)} in training"


def listing() -> str:
    """The cases, with what they are about, their sizes and their gates."""
    return "\n".join(
        f"{case.name:<15}{case.title}\n"
        f"{'':<15}{case.source}\n"
        f"{'':<15}sizes: {', '.join(case.sizes)}; gate: {_gate(case.gate)}"
        + "".join(
            f"\n{'':<15}gate of {size}: {_gate(proof.gate)}" for size, proof in case.proofs.items()
        )
        for case in science.cases()
    )


def _gate(bounds: Iterable[science.Bound]) -> str:
    return " and ".join(map(str, bounds))


def flop(operations: float) -> str:
    """A number of operations as people read it: 5.26 GFLOP."""
    for unit, size in (("TFLOP", 1e12), ("GFLOP", 1e9), ("MFLOP", 1e6), ("kFLOP", 1e3)):
        if operations >= size:
            return f"{operations / size:.3g} {unit}"
    return f"{operations:.0f} FLOP"


if __name__ == "__main__":
    sys.exit(main())
