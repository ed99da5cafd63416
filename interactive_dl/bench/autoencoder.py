"""Does an autoencoder help where labels are few? The climate boxes with it and without, by seed.

``python -m interactive_dl.bench.autoencoder`` prints a table of the average precisions. Each pair
of trainings has the same frames, the same few labels, the same initial weights and order.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from interactive_dl import science

CASE = "climate_boxes"
METRICS = ("ap_10", "ap_50")


@dataclass(frozen=True)
class Pair:
    """Two trainings that differ in the autoencoder alone.

    Attributes:
        seed: of frames, weights and order.
        helped, alone: metrics with the autoencoder's term in the loss, and without.
    """

    seed: int
    helped: dict[str, float]
    alone: dict[str, float]


def study(
    seeds: Sequence[int],
    *,
    size: str = "laptop",
    labelled: float = 0.25,
    cache: Path | None = None,
) -> list[Pair]:
    """Train a pair for each seed; all ranks call this.

    Args:
        seeds: of frames, weights and order.
        size: one of the case's sizes.
        labelled: share of the training frames whose boxes may be used.
        cache: where generated frames are kept, as in ``science.run``.

    Raises:
        UnknownSizeError: the case has no such size.
    """
    case = science.case(CASE)
    config = replace(case.config(size), labelled=labelled)

    def metrics(seed: int, reconstruction: float) -> dict[str, float]:
        sizes = {size: replace(config, reconstruction=reconstruction)}
        changed = replace(case, sizes=sizes)
        return dict(science.run(changed, size, seed=seed, data_seed=seed, cache=cache).metrics)

    return [
        Pair(seed, helped=metrics(seed, config.reconstruction), alone=metrics(seed, 0.0))
        for seed in seeds
    ]


def table(pairs: Sequence[Pair]) -> str:
    """A Markdown table: a row for each seed, and the mean difference with its standard error."""
    head = [f"{name} {way}" for name in METRICS for way in ("with", "without", "difference")]
    rows = [
        [str(pair.seed), *(cell for name in METRICS for cell in _cells(pair, name))]
        for pair in pairs
    ]
    mean = ["mean", *(cell for name in METRICS for cell in ("", "", _gain(pairs, name)))]
    lines = [["seed", *head], ["---"] * (len(head) + 1), *rows, mean]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cells(pair: Pair, name: str) -> tuple[str, str, str]:
    helped, alone = pair.helped[name], pair.alone[name]
    return f"{helped:.3f}", f"{alone:.3f}", f"{helped - alone:+.3f}"


def _gain(pairs: Sequence[Pair], name: str) -> str:
    gains = [pair.helped[name] - pair.alone[name] for pair in pairs]
    mean = f"{statistics.mean(gains):+.3f}"
    if len(gains) < 2:
        return mean
    return f"{mean} ± {statistics.stdev(gains) / len(gains) ** 0.5:.3f}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the study, and print its table on rank 0."""
    from interactive_dl import engine

    parser = argparse.ArgumentParser(prog="python -m interactive_dl.bench.autoencoder")
    parser.add_argument("--size", default="laptop", help="of the case (default: laptop)")
    parser.add_argument("--seeds", type=int, default=5, help="how many (default: 5)")
    parser.add_argument("--labelled", type=float, default=0.25, help="share (default: 0.25)")
    parser.add_argument("--cache", type=Path, help="for generated frames (default: ~/.cache)")
    chosen = parser.parse_args(arguments)
    pairs = study(
        range(chosen.seeds), size=chosen.size, labelled=chosen.labelled, cache=chosen.cache
    )
    if engine.init().rank == 0:
        print(table(pairs))


if __name__ == "__main__":
    main()
