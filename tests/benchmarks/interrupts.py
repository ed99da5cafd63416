"""A notebook's stop button, again and again, at random moments: ``interrupts.py [--count N]``.

Two ranks train in a ``%%px`` cell that the notebook waits for. The kernel is interrupted, the cell
must end, and the next one must find the same weights on both ranks.
"""

from __future__ import annotations

import argparse
import json
import queue
import random
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import steering
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager, start_new_kernel
from report import machine

DOCS = Path(__file__).resolve().parents[2] / "docs"
COMMAND = ".venv/bin/python tests/benchmarks/interrupts.py"
TIMEOUT_S = 120.0
LATEST_S = 2.0
STOPPED = "KeyboardInterrupt"

START = """
import interactive_dl as idl
cluster = idl.Cluster(2, threads_per_engine=1, binding="core", runs={runs!r}).start()
"""
PREPARE = f"""%%px
{steering.SETUP}
import hashlib
import json
import time


class Steps(keras.callbacks.Callback):
    ends_s = []

    def on_train_batch_end(self, batch, logs=None):
        self.ends_s.append(time.time())


def standing(since_s):
    digest = hashlib.sha256(b"".join(one.tobytes() for one in model.get_weights())).hexdigest()
    since = sum(end_s > since_s for end_s in Steps.ends_s)
    return json.dumps(dict(steps=len(Steps.ends_s), since=since, weights=digest))


group = engine.init(seed=0)
images, labels = map(np.concatenate, zip(*map(images_and_labels, range(group.size))))
batches = data.from_arrays(images, labels).shard(group).batch(BATCH)
model = build_model()
model.compile(engine.distribute(keras.optimizers.Adam(1e-3)), "binary_crossentropy")
model.fit(batches, epochs=1, verbose=0, callbacks=[Steps(), *engine.callbacks("first")])
"""
TRAIN = """%%px
model.fit(batches, epochs=10_000, verbose=0, callbacks=[Steps(), *engine.callbacks("soak")])
"""
LOOK = """
cluster.client[:].execute("standing_now = standing({since_s!r})", block=True)
print(*cluster.client[:]["standing_now"], sep="\\n", end="")
"""


class Interrupt(NamedTuple):
    """What came of one.

    Attributes:
        s: from the interrupt to the cell's end, in seconds.
        steps: how many ended meanwhile.
        ending: the name of the exception that ended the cell, ``stuck`` where engines went on.
        agree: whether both ranks had done as many steps and had the same weights.
    """

    s: float
    steps: int
    ending: str
    agree: bool


class Notebook:
    """A kernel, and what a person at its notebook does."""

    def __init__(self, manager: KernelManager, client: BlockingKernelClient) -> None:
        self._manager = manager
        self._client = client

    def run(self, code: str) -> str:
        """What a cell printed.

        Raises:
            RuntimeError: it failed.
        """
        request = self._client.execute(code)
        content, told = self._end(request)
        if content["status"] != "ok":
            raise RuntimeError(f"A cell failed with {content.get('ename')}: {told}")
        return told

    def interrupt(self, code: str, after_s: float) -> tuple[float, float, str]:
        """Run a cell and stop it so long after its beginning: when, how long it took to end, and
        with which exception.
        """
        request = self._client.execute(code)
        time.sleep(after_s)
        at_s = time.time()
        self._manager.interrupt_kernel()
        content, told = self._end(request)
        took_s = time.time() - at_s
        is_stuck = "have not stopped after" in told
        return at_s, took_s, "stuck" if is_stuck else content.get("ename", "")

    def _end(self, request: str) -> tuple[dict[str, Any], str]:
        """A cell's reply, and what was printed until the kernel was idle again.

        Raises:
            TimeoutError: it does not end.
        """
        told = []
        deadline_s = time.monotonic() + TIMEOUT_S
        while True:
            try:
                message = self._client.get_iopub_msg(timeout=deadline_s - time.monotonic())
            except queue.Empty as error:
                raise TimeoutError(f"A cell has not ended in time: {''.join(told)}") from error
            content = message["content"]
            if message["parent_header"].get("msg_id") != request:
                continue
            if content.get("execution_state") == "idle":
                break
            if message["msg_type"] == "stream":
                told.append(content["text"])
            elif message["msg_type"] == "error":
                told.append("\n".join(content["traceback"]))
        while True:
            reply = self._client.get_shell_msg(timeout=TIMEOUT_S)
            if reply["parent_header"]["msg_id"] == request:
                return reply["content"], "".join(told)


@contextmanager
def notebook() -> Iterator[Notebook]:
    """A kernel with a cluster of two engines, which have trained an epoch."""
    manager, client = start_new_kernel(kernel_name="python3")
    one = Notebook(manager, client)
    try:
        with tempfile.TemporaryDirectory(prefix="idl-bench-") as runs:
            one.run(START.format(runs=runs))
            try:
                one.run(PREPARE)
                yield one
            finally:
                one.run("cluster.stop()")
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def soak(count: int) -> list[Interrupt]:
    """Train and interrupt, ``count`` times."""
    measured = []
    with notebook() as one:
        for number in range(count):
            at_s, took_s, ending = one.interrupt(TRAIN, random.uniform(0.0, LATEST_S))
            standings = [
                json.loads(line) for line in one.run(LOOK.format(since_s=at_s)).split("\n")
            ]
            steps = max(standing.pop("since") for standing in standings)
            agree = standings[0] == standings[1]
            measured.append(Interrupt(took_s, steps, ending, agree))
            print(f"{number + 1} of {count}: {measured[-1]}", flush=True)
    return measured


def table(measured: list[Interrupt]) -> str:
    """Markdown."""
    count = len(measured)
    p50, p99 = np.percentile([one.s for one in measured], (50, 99))
    steps = [one.steps for one in measured]
    endings = Counter(one.ending for one in measured)
    disagreeing = sum(not one.agree for one in measured)
    lines = [
        "| | measured | goal | |",
        "|---|---|---|---|",
        _row(
            f"cells that end with `{STOPPED}`",
            f"{endings[STOPPED]} of {count}",
            "all",
            endings[STOPPED] == count,
        ),
        _row("engines that go on, or hang", str(endings["stuck"]), "0", endings["stuck"] == 0),
        _row("ranks that differ afterwards", str(disagreeing), "0", disagreeing == 0),
        _row(
            "steps that end after the interrupt, p50 / p99 / most",
            f"{np.percentile(steps, 50):.0f} / {np.percentile(steps, 99):.0f} / {max(steps)}",
            "≤ 2",
            max(steps) <= 2,
        ),
        f"| interrupt → the cell has ended, p50 / p99 / most | {p50:.2f} / {p99:.2f} /"
        f" {max(one.s for one in measured):.2f} s | | |",
    ]
    return "\n".join(lines)


def _row(what: str, measured: str, goal: str, is_met: bool) -> str:
    return f"| {what} | {measured} | {goal} | {'met' if is_met else 'missed'} |"


def write(measured: list[Interrupt]) -> None:
    """Print the table, and keep it in ``docs/``."""
    text = table(measured)
    print(f"\n{text}")
    today = date.today().isoformat()
    record = {
        "date": today,
        "machine": machine(),
        "interrupts": [one._asdict() for one in measured],
    }
    (DOCS / "interrupt_benchmarks.json").write_text(json.dumps(record, indent=1) + "\n")
    (DOCS / "interrupt_benchmarks.md").write_text(
        f"# A training that is interrupted again and again\n\nWritten by `{COMMAND}` on {today}"
        f" ({machine()}). A `%%px` cell trains the RPV network (64x64 images, batch 128 per rank)"
        " on 2 engines, a pinned core each; its kernel is interrupted at a random moment of the"
        f" first {LATEST_S:g} s. Then a cell compares the ranks, and the training begins again.\n\n"
        f"{text}\n"
    )


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=200)
    write(soak(parser.parse_args().count))


if __name__ == "__main__":
    main()
