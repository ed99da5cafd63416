"""Ray Tune's turn: ``search_ray.py best|default EMPTY LASTING FILE``; see ``search_peers``.

``default`` is a plain function. ``best`` keeps its four actors (``reuse_actors``, which takes a
class), writes neither loggers' files nor checkpoints, and prints nothing.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AIR_NEW_OUTPUT": "0"}
if sys.argv[1] == "best":
    os.environ |= {
        "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
        "TUNE_GLOBAL_CHECKPOINT_S": "600",
        "TUNE_MAX_PENDING_TRIALS_PG": "4",
    }

import ray
from ray import tune

WORKERS = 4


class Kept(tune.Trainable):
    """A trial in an actor that takes the next one, too."""

    def step(self) -> dict[str, Any]:
        """All of it."""
        if self.config["lasts_s"]:
            time.sleep(self.config["lasts_s"])
        return {"loss": self.config["x"], "done": True}

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take the next one."""
        self.config = new_config
        return True

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Nothing to save."""

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Nothing to load."""


def plain(config: dict[str, Any]) -> dict[str, float]:
    """A trial as Ray's manual begins."""
    if config["lasts_s"]:
        time.sleep(config["lasts_s"])
    return {"loss": config["x"]}


class Watch(tune.Callback):
    """When the first trial began, and the last one had ended."""

    def __init__(self) -> None:
        self.span = (float("inf"), 0.0)

    def on_trial_start(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        """Told by Ray."""
        self.span = (min(self.span[0], time.time()), self.span[1])

    def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        """Told by Ray."""
        self.span = (self.span[0], time.time())


def searched(folder: str, how: str, trials: int, lasts_s: float) -> tuple[float, float]:
    """Search once."""
    watch = Watch()
    is_best = how == "best"
    tuner = tune.Tuner(
        Kept if is_best else plain,
        param_space={"x": tune.uniform(0.0, 1.0), "lasts_s": lasts_s},
        tune_config=tune.TuneConfig(
            metric="loss", mode="min", num_samples=trials, reuse_actors=is_best
        ),
        run_config=tune.RunConfig(storage_path=folder, verbose=0, callbacks=[watch]),
    )
    results = tuner.fit()
    assert len(results) == trials
    assert not results.num_errors
    return watch.span


def main() -> None:
    """Take a turn."""
    how, empties, lastings, file = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    ray.init(
        num_cpus=WORKERS,
        include_dashboard=False,
        log_to_driver=False,
        _node_ip_address="127.0.0.1",
    )
    with tempfile.TemporaryDirectory() as folder:
        searched(folder, how, WORKERS, 0.0)
        told = {
            "empty": searched(folder, how, empties, 0.0),
            "lasting": searched(folder, how, lastings, 0.5),
        }
    Path(file).write_text(json.dumps(told))
    ray.shutdown()


if __name__ == "__main__":
    main()
