"""``make demo``: execute the distributed-training notebook and print what came of it."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interactive_dl.errors import SetupError

_ROOT = Path(__file__).resolve().parents[2]
_NOTEBOOK = _ROOT / "notebooks" / "01_distributed_training.ipynb"
_MOST_ENGINES = 4
_TIMEOUT_S = 600
_MARK = "demo results: "
_EXPORT = f"""
import json
print({_MARK!r} + json.dumps({{
    "hosts": [engine.host for engine in cluster.engines],
    "history": history,
    "rates": rates,
    "auc": scores.auc,
    "accuracy": scores.accuracy,
    "gain": scores.gain,
}}))
"""


@dataclass(frozen=True)
class Results:
    """What the notebook found.

    Attributes:
        hosts: host of each rank.
        history: metric to its values, one per epoch.
        rates: samples/s by number of ranks.
        auc, accuracy, gain: on the test events; ``gain`` is the signal found over that of the
            physicists' cuts at the same background.
    """

    hosts: list[str]
    history: dict[str, list[float]]
    rates: dict[str, float]
    auc: float
    accuracy: float
    gain: float


def main() -> int:
    """Run the demo; the exit code for the shell."""
    engines = max(2, min(_MOST_ENGINES, len(os.sched_getaffinity(0))))
    print(f"Executing {_NOTEBOOK.relative_to(_ROOT)} on {engines} engines ...", flush=True)
    begin_s = time.monotonic()
    results, page = run(_ROOT / "build" / "demo", engines)
    print(f"\n{summary(results)}\n")
    print(f"The executed notebook with its plots: {page}")
    print(f"Took {time.monotonic() - begin_s:.0f} s.")
    return 0


def run(folder: Path, engines: int) -> tuple[Results, Path]:
    """Execute the notebook and write it to ``folder`` as HTML.

    Returns:
        What it found, and where the page lies.

    Raises:
        SetupError: there is no notebook (not a checkout), or no tools to run it.
        nbclient.exceptions.CellExecutionError: a cell failed; the message shows it.
    """
    if not _NOTEBOOK.exists():
        raise SetupError(
            f"The demo needs a checkout with its notebooks, but there is no {_NOTEBOOK}."
            " Clone the repository and type: make demo"
        )
    try:
        import nbclient
        import nbformat
    except ImportError as error:
        raise SetupError("The demo runs a notebook. Type: make setup") from error
    os.environ["IDL_ENGINES"] = str(engines)
    notebook = nbformat.read(_NOTEBOOK, as_version=4)
    export = nbformat.v4.new_code_cell(_EXPORT)
    notebook.cells.insert(len(notebook.cells) - 1, export)
    nbclient.NotebookClient(notebook, timeout=_TIMEOUT_S, kernel_name="python3").execute()
    notebook.cells.remove(export)
    return _results(export.outputs), _write_page(notebook, folder)


def _results(outputs: list[Any]) -> Results:
    text = "".join(output.get("text", "") for output in outputs)
    line = next(line for line in text.splitlines() if line.startswith(_MARK))
    return Results(**json.loads(line.removeprefix(_MARK)))


def _write_page(notebook: Any, folder: Path) -> Path:
    import nbconvert

    page, _ = nbconvert.HTMLExporter().from_notebook_node(notebook)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{_NOTEBOOK.stem}.html"
    path.write_text(page)
    return path


def summary(results: Results) -> str:
    """The table that the demo prints."""
    hosts = sorted(set(results.hosts))
    placed = ", ".join(f"{results.hosts.count(host)} on {host}" for host in hosts)
    columns = ("loss", "auc", "val_loss", "val_auc", "samples_per_s")
    lines = [f"ranks: {placed}", "", "epoch " + "".join(f"{name:>14}" for name in columns)]
    for epoch, values in enumerate(zip(*(results.history[name] for name in columns), strict=True)):
        cells = [f"{value:14.4f}" for value in values[:-1]]
        lines.append(f"{epoch + 1:5d} {''.join(cells)}{values[-1]:14.0f}")
    rates = ", ".join(f"{name}: {rate:.0f}" for name, rate in results.rates.items())
    lines += [
        "",
        f"samples/s: {rates}",
        f"test: AUC {results.auc:.3f}, accuracy {results.accuracy:.3f};"
        f" {results.gain:.1f} times the signal of the cuts at the same background",
    ]
    return "\n".join(lines)
