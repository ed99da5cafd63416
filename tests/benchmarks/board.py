"""How long a search's board takes for a frame: ``board.py [--trials N ...]``.

JupyterLab and Chromium (without a window or a GPU) are on this machine, with the kernel. A search
that trains nothing has done N trials; eight more run and report 160 times a second.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from report import machine

FOLDER = Path(__file__).resolve().parent
DOCS = FOLDER.parents[1] / "docs"
COMMAND = ".venv/bin/python tests/benchmarks/board.py"
WINDOW_S = 5.0
PHASES = ("at rest", "updating", "updating, scrolled", "updating, selecting")
CELLS = (
    """
    import time
    from interactive_dl_widgets import SearchBoard
    from interactive_dl_widgets.fake_search import FakeSearch, SearchPlan

    took_s = []

    class Timed(SearchBoard):
        def draw(self):
            began_s = time.thread_time()
            super().draw()
            took_s.append(time.thread_time() - began_s)

    plan = SearchPlan(trials=None, engines=8, step_s=0.05)
    search = FakeSearch(plan).fill({trials})
    board = Timed(search)
    board
    """,
    "took_s.clear(); search.start()",
    "search.close(); print(took_s)",
)
SHOW, BEGIN, END = range(3)

sys.path.append(str(FOLDER.parents[1]))

# A frame's work lasts from its beginning to the first task after it was painted.
WATCH = """([seconds, act]) => new Promise((resolve) => {
    const table = document.querySelector(".idl-trials-scroll");
    const rows = () => table.querySelectorAll(".idl-trials-row[data-trial]");
    const acts = {
        scroll: (at) => {
            table.scrollTop = (at * 36) % (table.scrollHeight - table.clientHeight);
        },
        select: (at) => { if (at % 12 === 0) rows()[at % 10].click(); },
    };
    const begins = [], works = [], ends = performance.now() + 1000 * seconds;
    const frame = (at) => requestAnimationFrame((begin) => {
        begins.push(begin);
        const began = performance.now();
        const channel = new MessageChannel();
        channel.port1.onmessage = () => works.push(performance.now() - began);
        channel.port2.postMessage(0);
        acts[act]?.(at);
        if (began < ends) frame(at + 1);
        else setTimeout(() => resolve([begins, works]), 100);
    });
    frame(0);
})"""


@contextmanager
def opened(trials: int) -> Iterator[Any]:
    """A notebook in a browser's page that shows the board."""
    from tests.widgets import browser

    with (
        tempfile.TemporaryDirectory(prefix="idl-bench-") as place,
        browser.lab(Path(place)) as server,
        browser.browser() as chromium,
    ):
        server.write("board.ipynb", CELLS[SHOW].format(trials=trials), *CELLS[BEGIN:])
        page = browser.Notebook(chromium, server, "board.ipynb")
        page.page.set_viewport_size({"width": 1280, "height": 1900})
        page.run(SHOW)
        page.page.wait_for_selector(".idl-trials-row")
        page.await_points("trials", 1, figure=3)
        yield page
        page.close()


def measure(trials: int) -> dict[str, Any]:
    """Milliseconds between frames and of work in each, by phase; and of drawings in the kernel."""
    measured: dict[str, Any] = {"trials": trials}
    with opened(trials) as page:
        page.page.wait_for_timeout(2000)
        for phase in PHASES:
            if phase == "updating":
                page.run(BEGIN)
            act = {"updating, scrolled": "scroll", "updating, selecting": "select"}.get(phase, "")
            begins, works = page.page.evaluate(WATCH, [WINDOW_S, act])
            measured[phase] = {
                "between_ms": np.diff(begins).round(1).tolist(),
                "work_ms": [round(one, 1) for one in works],
            }
            print(f"{trials} trials, {phase}: {_spread(works)}", flush=True)
        page.run(END)
        measured["kernel_ms"] = [round(1e3 * one, 2) for one in json.loads(page.text(END))]
    return measured


def table(measured: list[dict[str, Any]]) -> str:
    """Markdown."""
    lines = [
        "| trials | the board is | frames | work in a frame, p50 / p99 / max |"
        " between frames, p50 / p99 / max |",
        "|---|---|---|---|---|",
    ]
    for one in measured:
        for phase in PHASES:
            work, between = one[phase]["work_ms"], one[phase]["between_ms"]
            lines.append(
                f"| {one['trials']:,} | {phase} | {len(work)} | {_spread(work)} |"
                f" {_spread(between)} |"
            )
    drawn = "; ".join(
        f"{_spread(one['kernel_ms'])} of {len(one['kernel_ms'])} drawings with {one['trials']:,}"
        " trials"
        for one in measured
    )
    return "\n".join(
        [*lines, "", f"CPU time of a drawing in the kernel, p50 / p99 / max: {drawn}."]
    )


def _spread(values_ms: list[float]) -> str:
    p50, p99 = np.percentile(values_ms, (50, 99))
    return f"{p50:.1f} / {p99:.1f} / {max(values_ms):.1f} ms"


def write(measured: list[dict[str, Any]]) -> None:
    """Print the table, and keep it in ``docs/``."""
    text, on, today = table(measured), machine(), date.today().isoformat()
    print(f"\n{text}")
    record = {"date": today, "machine": on, "measured": measured}
    (DOCS / "board_benchmarks.json").write_text(json.dumps(record) + "\n")
    (DOCS / "board_benchmarks.md").write_text(
        f"# How long a search's board takes for a frame\n\nWritten by `{COMMAND}` on {today}"
        f" ({on})."
        " JupyterLab, its kernel and Chromium (without a window or a GPU) share the machine. The"
        " search trains nothing: so many trials are over, eight run and report 160 times a second."
        f" Each phase lasts {WINDOW_S:g} s; *scrolled* moves the table by one and a half rows every"
        " frame, *selecting* selects another trial five times a second. A frame's work is from its"
        f" beginning to the first task after it was painted.\n\n{text}\n"
    )


def main() -> None:
    """Measure, print, and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, nargs="+", default=[1000, 10_000])
    write([measure(trials) for trials in parser.parse_args().trials])


if __name__ == "__main__":
    main()
