"""Every case at laptop size: five seeds that pass its gate, and controls that do not.

So is every other size for a laptop that has a gate of its own.

``python tests/benchmarks/science.py [CASE ...]`` measures all cases, or those, and writes
``docs/science.md`` from ``docs/science.json``, which keeps what was measured before.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from report import machine

from interactive_dl import science
from interactive_dl.bench.case import flop
from interactive_dl.cluster.environment import mpi_environment, mpiexec_arguments

DOCS = Path(__file__).resolve().parents[2] / "docs"
LAPTOP = "laptop"
SEEDS = range(5)
RANKS = (2, 4)


@dataclass(frozen=True)
class Measured:
    """One run: a seed (of samples, weights and order), a control or none, and what came of it."""

    seed: int
    control: str | None
    ranks: int
    metrics: dict[str, float]
    missed: tuple[str, ...]
    data_s: float
    training_s: float
    size: str = LAPTOP


@dataclass(frozen=True)
class Record:
    """All runs of a case, how busy the machine was, and the cost of the networks, by size."""

    measured_on: str
    machine: str
    load: float
    parameters: dict[str, int]
    flop_forward: dict[str, int]
    flop_training: dict[str, int]
    runs: list[Measured]


# -- on the ranks ---------------------------------------------------------------------------------


def measure(name: str, output: Path, cache: Path) -> None:
    """Run a case as often as these ranks are to, and have rank 0 write what came of it."""
    from interactive_dl import engine

    case, group = science.case(name), engine.init()
    alone = group.size == 1
    runs = []
    for size in sizes(case):
        runs += [_run(case, size, seed, None, cache) for seed in (SEEDS if alone else SEEDS[:1])]
        if alone:
            runs += [_run(case, size, 0, each, cache) for each in case.proof(size).controls]
    if group.rank == 0:
        found = {"runs": [asdict(run) for run in runs], **(_costs(case) if alone else {})}
        output.write_text(json.dumps(found))


def sizes(case: science.Case[Any]) -> list[str]:
    """Those for a laptop that have a gate of their own."""
    return [LAPTOP, *(size for size in case.proofs if size.startswith(LAPTOP))]


def _run(case: science.Case[Any], size: str, seed: int, control: Any, cache: Path) -> Measured:
    result = science.run(case, size, seed=seed, data_seed=seed, control=control, cache=cache)
    return Measured(
        seed,
        control,
        result.ranks,
        dict(result.metrics),
        result.missed,
        result.data_s,
        result.training_s,
        size,
    )


def _costs(case: science.Case[Any]) -> dict[str, dict[str, int]]:
    from interactive_dl.bench import flops

    models = {size: case.build_model(config) for size, config in case.sizes.items()}
    counted = {size: flops.count(model) for size, model in models.items()}
    return {
        "parameters": {size: model.count_params() for size, model in models.items()},
        "flop_forward": {size: each.forward for size, each in counted.items()},
        "flop_training": {size: each.training for size, each in counted.items()},
    }


# -- the page -------------------------------------------------------------------------------------


def page(records: dict[str, Record]) -> str:
    """``docs/science.md``."""
    known = [case for case in science.cases() if case.name in records]
    sections = (section for case in known for section in _section(case, records[case.name]))
    return "\n".join([*_head(), *sections, ""])


def _head() -> Iterable[str]:
    yield "# The seed cases"
    yield ""
    yield (
        "Written by `make science`. Each case is trained at its laptop size with five seeds, each"
        " with samples, weights and order of its own, and on several ranks that share the same"
        " batch. A gate is a condition that all of these fulfil, and none of the controls: a"
        " network that was not trained, one trained on shuffled labels, and the best constant."
        " Train one yourself: `idl science run rpv --engines 2`. A study of the climate boxes:"
        " [does the autoencoder help?](autoencoder.md)"
    )


def _section(case: science.Case[Any], record: Record) -> Iterable[str]:
    yield from ("", f"## {case.name}: {case.title}", "", f"After {case.source}.", "")
    yield from _costs_table(case, record)
    measured = [(size, [run for run in record.runs if run.size == size]) for size in sizes(case)]
    for size, runs in measured:
        if runs:
            yield from ("", *([] if size == LAPTOP else [f"### {size}", ""]))
            yield from _verdict(case, size, runs, record)
    yield ""
    yield f"What differs from the publication: {case.differs}."


def _verdict(
    case: science.Case[Any], size: str, runs: Sequence[Measured], record: Record
) -> Iterable[str]:
    """The runs of a size beside its gate."""
    trained = [run for run in runs if run.control is None]
    controls = [run for run in runs if run.control is not None]
    yield from _metrics_table(case, size, trained, controls)
    yield ""
    passed = sum(not run.missed for run in trained)
    failed = sum(bool(run.missed) for run in controls)
    alone = [run for run in trained if run.ranks == 1]
    yield (
        f"Of {len(trained)} trainings {passed} passed the gate, of {len(controls)} controls"
        f" {failed} failed it. On one rank a training took"
        f" {_range(run.training_s for run in alone)} s, generating the samples"
        f" {max(run.data_s for run in alone):.0f} s at most ({record.machine}, a load of"
        f" {record.load:.0f} with what else ran there, {record.measured_on})."
    )


def _costs_table(case: science.Case[Any], record: Record) -> Iterable[str]:
    yield "| size | parameters | published | a sample | in training |"
    yield "|---|---|---|---|---|"
    for size, parameters in record.parameters.items():
        published = f"{case.parameters[size]:,}" if size in case.parameters else ""
        yield (
            f"| {size} | {parameters:,} | {published} | {flop(record.flop_forward[size])} |"
            f" {flop(record.flop_training[size])} |"
        )


def _metrics_table(
    case: science.Case[Any], size: str, trained: Sequence[Measured], controls: Sequence[Measured]
) -> Iterable[str]:
    ranks = [run for run in trained if run.ranks > 1]
    seeds = [run for run in trained if run.ranks == 1]
    titles = [
        f"{len(seeds)} seeds: median (range)",
        *(f"{run.ranks} ranks" for run in ranks),
        "gate",
        *(str(run.control) for run in controls),
        "published",
    ]
    yield f"| metric | {' | '.join(titles)} |"
    yield "|---" * (len(titles) + 1) + "|"
    bounds = {bound.metric: f"{bound.side} {bound.limit:g}" for bound in case.proof(size).gate}
    for metric in seeds[0].metrics:
        values = [run.metrics[metric] for run in seeds]
        cells = [
            f"{statistics.median(values):.3g} ({_range(values)})",
            *(f"{run.metrics[metric]:.3g}" for run in ranks),
            bounds.get(metric, ""),
            *(f"{run.metrics[metric]:.3g}" for run in controls),
            "; ".join(f"{p.value} ({p.source})" for p in case.published if p.metric == metric),
        ]
        yield f"| {metric} | {' | '.join(cells)} |"


def _range(values: Iterable[float]) -> str:
    found = list(values)
    return f"{min(found):.3g} – {max(found):.3g}"


# -- here -----------------------------------------------------------------------------------------


def record_of(name: str, cache: Path) -> Record:
    """Measure a case: on one rank, and on several."""
    found = [_on_ranks(name, ranks, cache) for ranks in (1, *RANKS)]
    runs = [Measured(**{**run, "missed": tuple(run["missed"])}) for f in found for run in f["runs"]]
    costs = {key: value for key, value in found[0].items() if key != "runs"}
    today = datetime.datetime.now(tz=datetime.UTC).date().isoformat()
    load = os.getloadavg()[2]  # of the last 15 minutes
    return Record(measured_on=today, machine=machine(), load=load, runs=runs, **costs)


def _on_ranks(name: str, ranks: int, cache: Path) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="interactive_dl-science-") as folder:
        output = Path(folder) / "found.json"
        subprocess.run(
            [
                *mpiexec_arguments(ranks, fault_tolerant=False),
                sys.executable,
                __file__,
                "--measure",
                str(output),
                "--cache",
                str(cache),
                name,
            ],
            env={**os.environ, **mpi_environment(ranks), "IDL_RUNS": folder},
            check=True,
        )
        found: dict[str, Any] = json.loads(output.read_text())
    return found


def _known(path: Path) -> dict[str, Record]:
    if not path.exists():
        return {}
    return {
        name: Record(**{**record, "runs": [Measured(**run) for run in record["runs"]]})
        for name, record in json.loads(path.read_text()).items()
    }


def main() -> None:
    """Measure what was asked for, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="*", default=list(science.NAMES), metavar="CASE")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--cache", type=Path, help="for generated samples (default: a new folder)")
    chosen = parser.parse_args()
    if chosen.measure:
        measure(chosen.cases[0], chosen.measure, chosen.cache)
        return
    records = _known(DOCS / "science.json")
    with tempfile.TemporaryDirectory(prefix="interactive_dl-science-") as folder:
        for name in chosen.cases:
            records[name] = record_of(name, chosen.cache or Path(folder))
            text = {name: asdict(record) for name, record in records.items()}
            (DOCS / "science.json").write_text(json.dumps(text, indent=1) + "\n")
            (DOCS / "science.md").write_text(page(records))
            wrong = [run for run in records[name].runs if bool(run.missed) != bool(run.control)]
            print(f"{name}: {len(wrong)} runs not as expected", *wrong, sep="\n", flush=True)


if __name__ == "__main__":
    main()
