"""The notebooks run from top to bottom, and what they find passes their gates."""

from __future__ import annotations

from pathlib import Path

import nbclient
import nbformat
import pytest

import interactive_dl as idl
from interactive_dl.bench import demo
from interactive_dl.science.rpv.metric import AUC_GATE, GAIN_GATE

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"


@pytest.fixture(scope="module", autouse=True)
def _cache_of_its_own(tmp_path_factory):
    """Events are generated anew, once for all notebooks."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.mark.parametrize("engines", [2, 4])
def test_distributed_training_passes_its_gates(tmp_path, engines):
    results, page = demo.run(tmp_path, engines)
    assert len(results.hosts) == engines
    assert results.auc >= AUC_GATE
    assert results.gain >= GAIN_GATE
    assert results.history["loss"][-1] < results.history["loss"][0]
    assert set(results.rates) == {"1 rank", f"{engines} ranks"}
    assert min(results.rates.values()) > 0
    assert page.read_text().count('class="jp-RenderedImage') == 2


def test_mpi_in_a_notebook_runs(monkeypatch):
    monkeypatch.setenv("IDL_ENGINES", "4")
    notebook = nbformat.read(NOTEBOOKS / "00_mpi_in_a_notebook.ipynb", as_version=4)
    nbclient.NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    shown = "".join(
        output.get("text", "") + output.get("data", {}).get("text/plain", "")
        for cell in notebook.cells
        for output in cell.get("outputs", [])
    )
    assert "rank 3 of 4" in shown
    assert "3.141592653590" in shown
    assert "ValueError: only on rank 1" in shown.replace("\x1b[31m", "").replace("\x1b[39m", "")
    assert "32) as NumPy has it" in shown


def test_the_demos_table_has_a_line_per_epoch():
    names = ("loss", "auc", "val_loss", "val_auc", "samples_per_s")
    results = demo.Results(
        hosts=["a", "b", "a"],
        history={name: [0.5, 0.25] for name in names},
        rates={"1 rank": 1000.0, "3 ranks": 2900.0},
        auc=0.85,
        accuracy=0.77,
        gain=2.5,
    )
    lines = demo.summary(results).splitlines()
    assert lines[0] == "ranks: 2 on a, 1 on b"
    assert [line.split()[0] for line in lines[3:5]] == ["1", "2"]
    assert "samples/s: 1 rank: 1000, 3 ranks: 2900" in lines


def test_watch_and_steer_runs_and_shows_its_curves_without_a_kernel(tmp_path):
    notebook = nbformat.read(NOTEBOOKS / "02_watch_and_steer.ipynb", as_version=4)
    client = nbclient.NotebookClient(
        notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": tmp_path}}
    )
    client.execute()
    said = "".join(
        output.get("text", "") for cell in notebook.cells for output in cell.get("outputs", [])
    )
    assert "learning_rate must be >= 0, but got -1" in said
    assert "set learning_rate = 0.0003   applied" in said
    assert "validation accuracy" in said


def test_a_search_finds_better_than_the_default_and_the_promoted_beats_the_trial(
    tmp_path, monkeypatch
):
    monkeypatch.setenv("IDL_ENGINES", "2")
    monkeypatch.setenv("IDL_SMALL", "1")
    notebook = nbformat.read(NOTEBOOKS / "03_search.ipynb", as_version=4)
    resources = {"metadata": {"path": tmp_path}}
    nbclient.NotebookClient(
        notebook, timeout=200, kernel_name="python3", resources=resources
    ).execute()
    assert "image/png" in {
        kind
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        for kind in output.get("data", {})
    }

    jets, digits = _book("rpv"), _book("digits")
    default, larger = (trial for trial in jets.trials if trial.origin == "person")
    assert default.state == larger.state == "finished"
    assert jets.trials[jets.best].value > default.value
    assert "stopped by hand" in {trial.why for trial in jets.trials}
    assert jets.ended.outcome == "finished"

    (promoted,) = (trial for trial in digits.trials if trial.promotion)
    parent = digits.trials[promoted.parent]
    assert (len(parent.attempts[0].engines), len(promoted.attempts[0].engines)) == (1, 2)
    assert min(promoted.reports) == max(parent.reports) + 1, "it went on from there"
    assert promoted.best < parent.best
    assert digits.count_by_state["pruned"] > 0


def test_a_science_case_passes_its_gate_on_two_engines(monkeypatch):
    monkeypatch.setenv("IDL_ENGINES", "2")
    notebook = nbformat.read(NOTEBOOKS / "04_hep.ipynb", as_version=4)
    nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert "gate: passed" in "".join(output.get("text", "") for output in outputs)
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 2


def _book(name):
    search = idl.Search.attach(name)
    book = search.book
    search.close()
    return book
