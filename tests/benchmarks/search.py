"""Searches, ours beside others: ``search.py [PART ...]``, of ``peers``, ``growth``, ``stops`` and
``regroupings``.

Each part keeps its figures in ``docs/search_benchmarks.json``; the tables are made of all.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from datetime import date
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import search_measures
from report import machine
from search_ours import LASTS_S, WORKERS
from search_peers import DASK, OURS, PEERS, RAY_BEST

FOLDER = Path(__file__).resolve().parent
DOCS = FOLDER.parents[1] / "docs"
FIGURES = DOCS / "search_benchmarks.json"
COMMAND = ".venv/bin/python tests/benchmarks/search.py"
LASTING = 64
GROWN = 10_000
WINDOW = 500

Turn = dict[str, float]


def peers(rounds: int, share: float) -> list[dict[str, Turn]]:
    """Trials per second, and the share of the workers' time that trials of half a second had."""
    told: list[dict[str, Turn]] = []
    for number in range(rounds):
        order = PEERS if number % 2 == 0 else PEERS[::-1]
        told.append({})
        for peer in order:
            if number >= peer.rounds:
                continue
            lasting = max(4, round(LASTING * share))
            spans = peer.turn(lasting, share)
            (began_s, ended_s), (first_s, last_s) = spans["empty"], spans["lasting"]
            count = spans["count"][0]
            ideal_s = lasting * LASTS_S / WORKERS
            told[-1][peer.name] = {
                "rate": count / (ended_s - began_s),
                "utilisation": ideal_s / (last_s - first_s),
            }
            print(f"round {number + 1}: {peer.name}: {told[-1][peer.name]}", flush=True)
    return told


def growth(rounds: int, share: float) -> list[dict[str, float]]:
    """See ``search_measures.growth``."""
    told = []
    for number in range(rounds):
        told.append(search_measures.growth(round(GROWN * share), round(WINDOW * max(share, 0.2))))
        print(f"growth {number + 1}: {told[-1]}", flush=True)
    return told


def stops(rounds: int, share: float) -> list[float]:
    """See ``search_measures.stops``."""
    return [one for _ in range(rounds) for one in search_measures.stops(round(50 * share))]


def regroupings(rounds: int, share: float) -> dict[str, list[float]]:
    """See ``search_measures.regroupings``."""
    return search_measures.regroupings(max(1, round(rounds * share)))


def table(figures: dict[str, Any]) -> str:
    """Of all parts that have been measured, in Markdown."""
    parts = {
        "peers": _peers_table,
        "growth": _growth_table,
        "stops": _stops_table,
        "regroupings": _regroupings_table,
    }
    return "\n\n".join(made(figures[name]) for name, made in parts.items() if name in figures)


def _peers_table(rounds: list[dict[str, Turn]]) -> str:
    lines = [
        "## Beside others",
        "",
        f"| {WORKERS} workers (to reach: ≥ 120/s, ≥ 97 %) | empty trials/s, median | range |"
        f" {LASTING} trials of {LASTS_S:g} s: utilisation, median | range |",
        "|---|---|---|---|---|",
    ]
    for peer in PEERS:
        turns = [one[peer.name] for one in rounds if peer.name in one]
        rates, shares = ([turn[key] for turn in turns] for key in ("rate", "utilisation"))
        lines.append(
            f"| {peer.name} | {median(rates):.1f} | {min(rates):.1f} – {max(rates):.1f} |"
            f" {median(shares):.1%} | {min(shares):.1%} – {max(shares):.1%} |"
        )
    lines += ["", "| ratio within a round | median | range | to reach |", "|---|---|---|---|"]
    for other, goal in ((RAY_BEST, "≥ 8"), (DASK, "")):
        ratios = [one[OURS]["rate"] / one[other]["rate"] for one in rounds]
        spread = f"{min(ratios):.2f} – {max(ratios):.2f}"
        lines.append(f"| ours / {other} | {median(ratios):.2f} | {spread} | {goal} |")
    return "\n".join(lines)


def _growth_table(rounds: list[dict[str, float]]) -> str:
    lines = [
        "## Growth",
        "",
        "| empty trials, random sampler | median | range | to reach |",
        "|---|---|---|---|",
    ]
    rounds = [one | {"ratio": one["late"] / one["early"]} for one in rounds]
    rows = {
        "early": (f"trials/s, the {WINDOW} after the first 100", ".1f"),
        "late": (f"trials/s, the {WINDOW} after the first {GROWN:,}", ".1f"),
        "ratio": ("late / early", ".2f"),
        "early_mib": (f"MiB, the driver's resident memory at {100 + WINDOW} trials", ".0f"),
        "late_mib": (f"MiB, the same at {GROWN:,} trials", ".0f"),
    }
    for key, (name, form) in rows.items():
        values = [one[key] for one in rounds]
        spread = f"{min(values):{form}} – {max(values):{form}}"
        lines.append(f"| {name} | {median(values):{form}} | {spread} | |")
    return "\n".join(lines)


def _stops_table(seconds: list[float]) -> str:
    ms = 1e3 * np.array(seconds)
    p50, p99 = np.percentile(ms, (50, 99))
    return (
        "## Stops\n\n| | measured | to reach |\n|---|---|---|\n"
        f"| `search.stop_trial` → the objective sees it, p50 / p99 / most of {len(ms)} |"
        f" {p50:.0f} / {p99:.0f} / {ms.max():.0f} ms | < 100 ms |"
    )


def _regroupings_table(taken: dict[str, list[float]]) -> str:
    lines = [
        "## One set of engines, any shape",
        "",
        "| the same engines, in turns | trial started → first Keras step done, median | range |",
        "|---|---|---|",
    ]
    for size, seconds in taken.items():
        spread = f"{min(seconds):.2f} – {max(seconds):.2f}"
        lines.append(f"| groups of {size} | {median(seconds):.2f} s | {spread} s |")
    return "\n".join(lines)


PARTS: dict[str, tuple[Callable[[int, float], Any], int]] = {
    "peers": (peers, 3),
    "growth": (growth, 3),
    "stops": (stops, 1),
    "regroupings": (regroupings, 5),
}
"""With how many rounds."""


def write(record: dict[str, Any], text: str) -> None:
    """Keep the figures and the tables in ``docs/``."""
    FIGURES.write_text(json.dumps(record, indent=1) + "\n")
    rounds = len(record["figures"].get("peers", ()))
    versions = ", ".join(sorted({peer.requirement for peer in PEERS if peer.requirement}))
    (DOCS / "search_benchmarks.md").write_text(
        f"# Searches\n\nWritten by `{COMMAND}` on {record['date']} ({record['machine']}): {rounds}"
        f" rounds, in which all take turns; {WORKERS} workers each, in environments of their own"
        f" ({versions}). A trial draws a point and returns it. Ours is asked, journalled by a"
        " process of the cluster, tried on an engine through the load-balanced view, told and"
        " journalled; a client follows. The time is from the first trial's start to the last one's"
        " end, as each tells it, so no start of a cluster counts. Ray Tune at its best keeps its"
        " actors (`reuse_actors`) and writes no files; Dask's plain tasks keep no books; Optuna's"
        f" `n_jobs` are threads of one process.\n\n{text}\n"
    )


def main() -> None:
    """Measure, print, and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help="all, if none is named")
    parser.add_argument("--rounds", type=int, help="of each part")
    parser.add_argument("--share", type=float, default=1.0, help="of the trials; writes nothing")
    options = parser.parse_args()
    figures = json.loads(FIGURES.read_text())["figures"] if FIGURES.exists() else {}
    for name in options.parts or PARTS:
        measure, rounds = PARTS[name]
        figures[name] = measure(options.rounds or rounds, options.share)
    text = table(figures)
    print(f"\n{text}")
    if options.share == 1.0:
        today = date.today().isoformat()
        write({"date": today, "machine": machine(), "figures": figures}, text)


if __name__ == "__main__":
    main()
