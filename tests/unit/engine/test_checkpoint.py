"""A checkpoint file is whole or not there, whenever its writing ends."""

from __future__ import annotations

from pathlib import Path

import keras
import pytest

from interactive_dl.engine import _checkpoint, _fencing


def model(bias: float) -> keras.Model:
    built = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    built.layers[0].bias.assign([bias])
    return built


@pytest.fixture
def token(tmp_path: Path) -> _fencing.Token:
    taken = _fencing.Token("run", "me@here")
    _fencing.take(tmp_path / "run.keras", taken)
    return taken


@pytest.mark.parametrize("name", ["run.h5", "run", "run.keras.zip"])
def test_a_name_says_that_it_is_keras(name: str) -> None:
    with pytest.raises(ValueError, match=f"must end in .keras, but got '{name}'"):
        _checkpoint.checkpoint_path(name)
    assert _checkpoint.checkpoint_path("folder/run.keras") == Path("folder/run.keras")


def test_a_note_comes_back(tmp_path: Path, token: _fencing.Token) -> None:
    path = tmp_path / "new folder" / "run.keras"
    _checkpoint.write_checkpoint(model(1.0), path, {"name": "run", "epoch": 3}, token)
    assert _checkpoint.read_note(path) == {"name": "run", "epoch": 3}


@pytest.mark.parametrize("moment", ["in the model", "in the note", "before the rename"])
def test_a_writing_that_breaks_off_leaves_the_checkpoint_before(
    moment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, token: _fencing.Token
) -> None:
    path = tmp_path / "run.keras"
    _checkpoint.write_checkpoint(model(1.0), path, {"epoch": 1}, token)

    def break_off(*args: object, **kwargs: object) -> None:
        raise OSError("no space left on device")

    broken = model(2.0)
    if moment == "in the model":
        save = broken.save

        def half(file: Path) -> None:
            save(file)
            file.write_bytes(file.read_bytes()[:100])
            break_off()

        monkeypatch.setattr(broken, "save", half)
    elif moment == "in the note":
        monkeypatch.setattr("zipfile.ZipFile.writestr", break_off)
    else:
        monkeypatch.setattr(Path, "replace", break_off)
    with pytest.raises(OSError, match="no space left"):
        _checkpoint.write_checkpoint(broken, path, {"epoch": 2}, token)
    monkeypatch.undo()
    assert _checkpoint.read_note(path) == {"epoch": 1}
    assert keras.models.load_model(path).get_weights()[1][0] == 1.0
    assert {file.name for file in tmp_path.iterdir()} == {"run.keras", ".run.keras.writer"}
