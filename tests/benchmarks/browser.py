"""What a view that is open in a browser costs, and how late it is: ``browser.py [--pairs N]``.

One rank trains on a core of its own; kernel, JupyterLab, Chromium, recorder and controller share
another. The view is shown and closed in turn, while the page stays open and the training goes on.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import live
import numpy as np
import psutil
import steering
from report import machine

from interactive_dl import Cluster
from interactive_dl.telemetry.run import Run
from interactive_dl_widgets.views.stills import EVERY_S, FIRST_S

FOLDER = Path(__file__).resolve().parent
DOCS = FOLDER.parents[1] / "docs"
COMMAND = ".venv/bin/python tests/benchmarks/browser.py"
WINDOW_S = 5.0
SETTLE_S = 1.0
IN_TIME_S = 1.0

sys.path.append(str(FOLDER.parents[1]))

METER = """
import time


class Meter(keras.callbacks.Callback):
    steps = []

    def on_train_batch_end(self, batch, logs=None):
        self.steps.append((time.time(), time.process_time()))
"""
CELLS = (
    """
    import interactive_dl as idl
    from interactive_dl_widgets import RunView

    cluster = idl.Cluster.attach({id!r})
    run = cluster.runs["watched"]
    """,
    "view = RunView(run)\nview",
    "view.close(); run.close()",
    "cluster.close()",
)
ATTACH, SHOW, CLOSE, LEAVE = range(4)
# Notes the last step that is drawn, and when the frame after the one that draws it begins.
OBSERVE = """() => {
    const element = document.querySelector(".idl-figure");
    const views = Object.values(window.Bokeh).flatMap((each) => each?.index?.roots ?? []);
    const source = views.find((one) => element.contains(one.el)).model.select_one("reported");
    const seen = (window.seen = []);
    source.properties.data.change.connect(() => {
        const step = source.get_column("x").at(-1);
        requestAnimationFrame(() => requestAnimationFrame(() => seen.push([step, Date.now()])));
    });
}"""


class Window(NamedTuple):
    """A stretch of time, in seconds since the epoch, and the share of the watching core's time that
    was used in it.
    """

    begin_s: float
    end_s: float
    busy: float


@dataclass
class Measured:
    """Windows, by whether the view was shown, pair by pair; the rank's steps, each its end and the
    CPU time used until then; delays of events on their way to the screen, and how many came never.
    """

    shown: list[Window] = field(default_factory=list)
    closed: list[Window] = field(default_factory=list)
    steps: np.ndarray = field(default_factory=lambda: np.empty((0, 2)))
    delays_s: list[float] = field(default_factory=list)
    unseen: int = 0

    def pairs(self) -> list[dict[str, float]]:
        """Speed and CPU time with the view, over those without."""
        told = []
        for windows in zip(self.shown, self.closed, strict=True):
            (wall_s, cpu_s), (other_wall_s, other_cpu_s) = (
                per_step(self.steps, one) for one in windows
            )
            told.append({"speed": other_wall_s / wall_s, "cpu": cpu_s / other_cpu_s})
        return told

    def take(self, events: np.ndarray, frames: list[np.ndarray]) -> None:
        """Add delays: what each window's frames have shown of the events that fell into it."""
        for seen, window in zip(frames, self.shown, strict=True):
            is_in = (events[:, 1] > window.begin_s) & (events[:, 1] < window.end_s - IN_TIME_S)
            late_s = delays(events[is_in], seen)
            self.delays_s += list(late_s[np.isfinite(late_s)])
            self.unseen += int(np.isinf(late_s).sum())


def per_step(steps: np.ndarray, window: Window) -> np.ndarray:
    """Seconds and seconds of CPU time per step, of the steps that end within a window."""
    inside = steps[(steps[:, 0] >= window.begin_s) & (steps[:, 0] <= window.end_s)]
    return (inside[-1] - inside[0]) / (len(inside) - 1)


def delays(events: np.ndarray, frames: np.ndarray) -> np.ndarray:
    """How long after its time each event was seen; infinite if it was not.

    Args:
        events: step and time, shape (events, 2).
        frames: last step on the screen and time, shape (frames, 2), in order.
    """
    at = np.searchsorted(frames[:, 0], events[:, 0])
    return np.append(frames[:, 1], np.inf)[at] - events[:, 1]


@contextmanager
def training(core: int) -> Iterator[tuple[Cluster, Run]]:
    """One rank trains on a core; all else stays where this process is."""
    with steering.engines(1, threads_per_engine=1, binding="none") as cluster:
        for task in Path(f"/proc/{cluster.engines[0].pid}/task").iterdir():
            os.sched_setaffinity(int(task.name), {core})
        run = steering.begin(cluster, "watched", METER, "Meter()")
        run.close()  # nobody follows it here
        yield cluster, run


def measure(pairs: int) -> Measured:
    """Show the view and close it, in changing order."""
    ours, others = _cores()
    os.sched_setaffinity(0, {others})
    measured, frames = Measured(), []
    with opened(ours) as (page, cluster, run):
        for number in range(pairs):
            for is_shown in (True, False) if number % 2 else (False, True):
                if is_shown:
                    frames.append(_shown(page, others, measured.shown))
                else:
                    measured.closed.append(_window(page, others))
            print(f"pair {number + 1} of {pairs}", flush=True)
        run.stop()
        told = run.history.progress
        run.close()
        steering.await_(lambda: not cluster.client.outstanding, "the cell ends")
        measured.steps = np.array(cluster.client[0]["Meter.steps"])
    measured.take(np.stack([told["step"], told["time_s"]], axis=1), frames)
    return measured


@contextmanager
def opened(core: int) -> Iterator[tuple[Any, Cluster, Run]]:
    """A notebook in a browser's page, attached to a training."""
    from tests.widgets import browser

    with (
        tempfile.TemporaryDirectory(prefix="idl-bench-") as place,
        browser.lab(Path(place)) as server,
        browser.browser() as chromium,
    ):
        os.environ["IPYTHONDIR"] = str(server.ipython_folder)
        with training(core) as (cluster, run):
            server.write("watch.ipynb", *(one.format(id=cluster.id) for one in CELLS))
            page = browser.Notebook(chromium, server, "watch.ipynb")
            page.run(ATTACH)
            yield page, cluster, run
            page.run(LEAVE)
            page.close()


def _cores() -> tuple[int, int]:
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise SystemExit("One core trains and one watches, but this process has only one.")
    return cores[0], cores[1]


def _shown(page: Any, core: int, windows: list[Window]) -> np.ndarray:
    """Measure while the view is shown: last steps on the screen and when, shape (frames, 2)."""
    page.run(SHOW)
    page.await_points("reported", 1)
    page.page.evaluate(OBSERVE)
    windows.append(_window(page, core))
    seen = np.array(page.page.evaluate("() => window.seen"), float)
    page.run(CLOSE)
    return seen / (1.0, 1e3)


def _window(page: Any, core: int) -> Window:
    page.page.wait_for_timeout(1e3 * SETTLE_S)
    begin_s, before = time.time(), psutil.cpu_times(percpu=True)[core]
    page.page.wait_for_timeout(1e3 * WINDOW_S)
    end_s, after = time.time(), psutil.cpu_times(percpu=True)[core]
    idle_s = after.idle - before.idle
    return Window(begin_s, end_s, 1 - idle_s / (end_s - begin_s))


def table(measured: Measured) -> str:
    """Markdown."""
    p50, p99 = 1e3 * np.percentile(measured.delays_s, (50, 99))
    shown, closed = (
        100 * float(np.median([one.busy for one in windows]))
        for windows in (measured.shown, measured.closed)
    )
    is_met = p50 <= 150 and p99 <= 400 and not measured.unseen
    lines = [
        live.table(measured.pairs()),
        "",
        "| | measured | goal | |",
        "|---|---|---|---|",
        f"| event on the engine → value on the screen, p50 / p99 of {len(measured.delays_s)} |"
        f" {p50:.0f} / {p99:.0f} ms | ≤ 150 / 400 ms | {'met' if is_met else 'missed'} |",
        f"| events that never came to the screen | {measured.unseen} | 0 | |",
        f"| the other core is busy, view shown / closed | {shown:.0f} / {closed:.0f} % | | |",
    ]
    return "\n".join(lines)


def write(measured: Measured, on: str) -> None:
    """Print the tables, and keep them in ``docs/``."""
    text = table(measured)
    print(f"\n{text}")
    today = date.today().isoformat()
    record = {
        "date": today,
        "machine": on,
        "pairs": measured.pairs(),
        "delays_s": [round(one, 4) for one in measured.delays_s],
        "unseen": measured.unseen,
    }
    (DOCS / "browser_benchmarks.json").write_text(json.dumps(record, indent=1) + "\n")
    (DOCS / "browser_benchmarks.md").write_text(
        f"# What an open view costs, and how late it is\n\nWritten by `{COMMAND}` on {today}"
        f" ({on}). The RPV network (64x64 images, batch 128) trains on one rank, pinned to a"
        " core of its own. Kernel, JupyterLab, Chromium without a window, recorder and controller"
        " are on another core. *With* is a `RunView` on the page; *without* is the same page, the"
        f" same training, after `view.close()`. {len(measured.shown)} pairs of {WINDOW_S:g} s"
        " each, in changing order. The delay is from the event's time stamp to the beginning of"
        " the frame after the one that draws it. The picture that a saved notebook shows is taken"
        f" outside of these times, {FIRST_S:g} s after a view has opened and every {EVERY_S:g} s."
        f"\n\n{text}\n"
    )


def main() -> None:
    """Measure, print, and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=22)
    on = machine()  # before this process leaves one of its cores to the rank
    write(measure(parser.parse_args().pairs), on)


if __name__ == "__main__":
    main()
