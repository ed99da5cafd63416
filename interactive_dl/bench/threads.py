"""How many threads train a network fastest: the study of Stampede2, for any machine and case.

On Stampede2's nodes (68 cores, 272 hardware threads) 64 OpenMP threads were the best of 32, 64 and
128. Each number is tried in a process of its own: a framework takes its threads when it starts.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from interactive_dl import science
from interactive_dl.cluster.environment import available_cores, mpi_environment

WARM_UP = 2


@dataclass(frozen=True)
class Timing:
    """How fast a number of threads is.

    Attributes:
        threads: how many.
        batch_size: samples per step.
        step_s: times of the steps, without those of the warm-up.
        flop: operations of a step: predictions and gradient, without the optimizer's.
    """

    threads: int
    batch_size: int
    step_s: tuple[float, ...]
    flop: int

    @property
    def samples_per_s(self) -> float:
        """At the median step."""
        return self.batch_size / statistics.median(self.step_s)

    @property
    def gflop_per_s(self) -> float:
        """At the median step."""
        return self.flop / statistics.median(self.step_s) / 1e9


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What says which network to train with how many threads."""
    parser.add_argument("case", choices=list(science.NAMES), metavar="CASE", help="its name")
    parser.add_argument("--size", default="laptop", help="laptop (default), full, alexnet, ...")
    parser.add_argument(
        "--threads", type=int, nargs="+", metavar="N", help="default: 1, 2, 4 ... twice the cores"
    )
    parser.add_argument("--batch", type=int, default=32, help="samples per step (default: 32)")
    parser.add_argument("--steps", type=int, default=10, help="to time (default: 10)")


def study(chosen: argparse.Namespace) -> list[Timing]:
    """Time each number of threads in turn.

    Raises:
        UnknownSizeError: the case has no such size.
    """
    science.case(chosen.case).config(chosen.size)
    numbers = chosen.threads or doubling(2 * available_cores())
    return [_apart(chosen, threads) for threads in numbers]


def doubling(most: int) -> list[int]:
    """1, 2, 4 ... up to ``most``, and that."""
    powers = [2**power for power in range(most.bit_length()) if 2**power < most]
    return [*powers, most]


def table(timings: Sequence[Timing]) -> str:
    """A line for each number of threads; the fastest one has a star."""
    best = max(timings, key=lambda timing: timing.samples_per_s)
    return "\n".join(["threads   samples/s   GFLOP/s   to the first", *_lines(timings, best)])


def _lines(timings: Sequence[Timing], best: Timing) -> Iterable[str]:
    for timing in timings:
        ratio = timing.samples_per_s / timings[0].samples_per_s
        star = " *" if timing is best else ""
        yield (
            f"{timing.threads:>7}{timing.samples_per_s:>12.1f}{timing.gflop_per_s:>10.1f}"
            f"{ratio:>15.2f}{star}"
        )


def _apart(chosen: argparse.Namespace, threads: int) -> Timing:
    words = [chosen.case, f"--size={chosen.size}", f"--batch={chosen.batch}"]
    done = subprocess.run(
        [sys.executable, "-m", __name__, *words, f"--steps={chosen.steps}"],
        env={**os.environ, **mpi_environment(1, threads)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:  # what TensorFlow says of itself is of no interest otherwise
        sys.stderr.write(done.stderr)
        done.check_returncode()
    told = json.loads(done.stdout)
    return Timing(threads, chosen.batch, tuple(told["step_s"]), told["flop"])


def main() -> None:
    """Time this process's number of threads, and print what came of it as JSON."""
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    chosen = parser.parse_args()
    case = science.case(chosen.case)
    model = case.build_model(case.config(chosen.size))
    step_s = _steps(model, chosen.batch, WARM_UP + chosen.steps)[WARM_UP:]

    from interactive_dl.bench import flops

    operations = chosen.batch * flops.count(model).training
    print(json.dumps({"step_s": step_s, "flop": operations}))


def _steps(model: Any, batch_size: int, count: int) -> list[float]:
    """Times of steps on random numbers, in seconds."""
    import tensorflow as tf

    from interactive_dl.bench import flops

    networks = flops.step_networks(model)
    inputs = [
        [tf.random.uniform((batch_size, *each.shape[1:])) for each in network.inputs]
        for network in networks
    ]
    step = tf.function(lambda: [*map(flops.gradient, networks, inputs)])
    times = []
    for _ in range(count):
        begin_s = time.perf_counter()
        _ = [each.numpy() for each in tf.nest.flatten(step())]
        times.append(time.perf_counter() - begin_s)
    return times


if __name__ == "__main__":
    main()
