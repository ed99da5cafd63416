"""`idl search` in a process of its own: cut, and gone on with elsewhere."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from interactive_dl import cli
from interactive_dl.cluster import Cluster

SCRIPT = """
import interactive_dl as idl

def objective(trial):
    import time
    from beside import loss
    while (trial.number, trial.attempt) == (1, 1):
        try:
            time.sleep(60)
        except KeyboardInterrupt:
            pass  # it does not want to stop
    return loss(trial.params["x"])

search = idl.Search(objective, {"x": idl.uniform(0, 1)}, metric="loss", name="unnamed")
"""


def test_a_search_that_was_cut_with_its_cluster_goes_on_on_another(
    cluster: Cluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "beside.py").write_text("def loss(x): return (x - 0.3) ** 2")
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    words = ["search", str(script), "--engines", "1", "--name", "stubborn", "--trials", "3"]
    begun = subprocess.Popen(
        [str(Path(sys.executable).parent / "idl"), *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    said = []
    assert begun.stdout is not None
    for line in begun.stdout:
        said.append(line)
        if line.startswith("trial    0"):
            os.killpg(begun.pid, signal.SIGINT)  # as a terminal does
        if line.startswith("Stopping"):
            begun.terminate()  # as a batch system does
    assert begun.wait(30) == 1
    assert "was cut. To go on with it: idl search --resume stubborn-" in said[-1], said
    assert [one.id for one in Cluster.list()] == [cluster.id], "its cluster is gone"

    assert cli.main(["searches"]) == 0
    assert "abandoned  1 running, 1 finished; best loss" in capsys.readouterr().out

    words = ["search", "--resume", "stubborn", "--cluster", cluster.id]
    cluster.client[:].apply_sync(_import_from, str(tmp_path))
    assert cli.main(words) == 0
    lines = capsys.readouterr().out.splitlines()
    ended = [line.split()[1:3] for line in lines if line.startswith("trial    ")]
    assert sorted(ended) == [["1", "finished"], ["2", "finished"]], lines
    assert lines[-1].startswith("3 finished; best loss"), lines
    assert cluster.state.name == "ready", "it was only used"


def _import_from(folder: str) -> None:
    import sys

    sys.path.append(folder)
