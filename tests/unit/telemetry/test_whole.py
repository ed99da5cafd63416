"""Files that a reader sees whole."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from interactive_dl.telemetry import whole


def test_it_takes_the_place_of_what_was_there_and_only_its_user_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "told.json"
    path.write_text("before")
    whole.write(path, "after")
    whole.write(path, b"later")
    assert path.read_text() == "later"
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_where_it_cannot_be_written_what_was_there_stays_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "told.json"
    whole.write(path, "before")

    def full(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="no space left"):
        whole.write(path, "after")
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]
