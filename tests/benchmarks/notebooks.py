"""Every notebook of a case or a study, from top to bottom: ``notebooks.py [NAME ...]``.

Each asserts in its last cell that the gate was passed. ``tests/notebooks`` runs one of them in CI.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import nbclient
import nbformat

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
CASES = (
    "04_hep",
    "05_cosmoflow",
    "06_cosmogan",
    "07_climate_masks",
    "08_convnets",
    "09_climate_boxes",
    "10_large_batch",
    "11_cosmogan_conditional",
)
TIMEOUT_S = 1200


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=CASES, metavar="NAME")
    for name in parser.parse_args().names:
        notebook = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)
        began_s = time.perf_counter()
        nbclient.NotebookClient(notebook, timeout=TIMEOUT_S, kernel_name="python3").execute()
        print(f"{name}: passed its gate in {time.perf_counter() - began_s:.0f} s", flush=True)


if __name__ == "__main__":
    main()
