"""How the process that watches an engine ends: its exit code says who else is to end."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from interactive_dl.engine import __main__ as watcher
from interactive_dl.telemetry import exits
from interactive_dl.telemetry.commands import ENDS_ALL


def _watch(monkeypatch: pytest.MonkeyPatch, folder: Path, engine_ends: str, *words: str) -> int:
    """The exit code of a watcher whose engine is a small program."""

    def start(_options: Any, _engine: int, pipe: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-c", engine_ends], pass_fds=[pipe])

    monkeypatch.setattr(watcher, "_start_engine", start)
    monkeypatch.setattr(watcher, "_forward_signals", lambda _child: None)
    return watcher.main(["--folder", str(folder), "--world", "4,5", *words])


@pytest.mark.parametrize(
    ("engine_ends", "code"),
    [
        ("", 0),
        ("import os; os._exit(3)", 1),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", 1),
    ],
)
def test_where_slurm_has_started_them_a_death_ends_all(
    engine_ends: str, code: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(ENDS_ALL, "1")
    monkeypatch.setenv("SLURM_PROCID", "1")
    assert _watch(monkeypatch, tmp_path, engine_ends) == code
    assert list(exits.exits(tmp_path)) == [5]


def test_under_mpiexec_a_death_is_for_mpi_to_tell(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv(ENDS_ALL, raising=False)
    assert _watch(monkeypatch, tmp_path, "import os; os._exit(3)") == 0
    assert _watch(monkeypatch, tmp_path, "", "--id", "7") == 1


def test_a_death_that_cannot_be_written_down_ends_no_others(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv(ENDS_ALL, raising=False)
    monkeypatch.setenv("SLURM_PROCID", "1")
    (tmp_path / "engine-5.exit.json").mkdir()
    assert _watch(monkeypatch, tmp_path, "import os; os._exit(3)") == 0
    assert "Engine 5: exit code 3. Notebooks are not told" in capsys.readouterr().err


@pytest.mark.parametrize("line", [7, None])
def test_an_engine_inherits_the_line_on_which_mpich_speaks_with_slurm(
    line: int | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    passed: list[int] = []
    monkeypatch.setattr(
        subprocess, "Popen", lambda _words, *, pass_fds, **_other: passed.extend(pass_fds)
    )
    monkeypatch.delenv("PMI_FD", raising=False)
    if line is not None:
        monkeypatch.setenv("PMI_FD", str(line))
    options = argparse.Namespace(folder=tmp_path, world="0", invited=False)
    watcher._start_engine(options, 0, 5)
    assert passed == [5, *([] if line is None else [line])]
