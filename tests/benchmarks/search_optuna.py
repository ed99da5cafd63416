"""Optuna's turn: ``search_optuna.py journal|memory EMPTY LASTING FILE``; see ``search_peers``.

``n_jobs`` are threads of one process; ``journal`` keeps the study in a file, as Optuna does.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path

import optuna

WORKERS = 4


def searched(folder: str, keeps: str, trials: int, lasts_s: float) -> tuple[float, float]:
    """When the first trial began, and the last one had ended."""

    def objective(trial: optuna.Trial) -> float:
        x = trial.suggest_float("x", 0.0, 1.0)
        if lasts_s:
            time.sleep(lasts_s)
        return x

    file = optuna.storages.journal.JournalFileBackend(f"{folder}/{time.time_ns()}")
    study = optuna.create_study(
        storage=optuna.storages.JournalStorage(file) if keeps == "journal" else None,
        sampler=optuna.samplers.RandomSampler(seed=0),
    )
    began_s = time.time()
    study.optimize(objective, n_trials=trials, n_jobs=WORKERS)
    return began_s, time.time()


def main() -> None:
    """Take a turn."""
    keeps, empties, lastings, file = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        searched(folder, keeps, 2 * WORKERS, 0.0)
        told = {
            "empty": searched(folder, keeps, empties, 0.0),
            "lasting": searched(folder, keeps, lastings, 0.5),
        }
    Path(file).write_text(json.dumps(told))


if __name__ == "__main__":
    main()
