from __future__ import annotations

from pathlib import Path

from deploy.setup import stamp
from deploy.setup.options import Options
from deploy.setup.stamp import Stamp, digest


def test_a_stamp_is_read_as_it_was_written(tmp_path: Path) -> None:
    written = Stamp("abc", Options(torch=True))
    written.write(tmp_path)
    assert Stamp.read(tmp_path) == written
    assert [path.name for path in tmp_path.iterdir()] == ["interactive_dl-setup.json"]


def test_an_unfinished_environment_has_no_stamp(tmp_path: Path) -> None:
    assert Stamp.read(tmp_path) is None
    assert Stamp.read(tmp_path / "not there") is None


def test_a_removed_stamp_is_gone_and_removing_it_twice_is_fine(tmp_path: Path) -> None:
    Stamp("abc", Options()).write(tmp_path)
    stamp.remove(tmp_path)
    stamp.remove(tmp_path)
    assert Stamp.read(tmp_path) is None


def test_the_digest_changes_with_options_facts_and_contents(tmp_path: Path) -> None:
    file = tmp_path / "constraints.txt"
    file.write_text("numpy==1\n")
    found = {digest(Options(), ("3.11.2",), [file])}
    found.add(digest(Options(torch=True), ("3.11.2",), [file]))
    found.add(digest(Options(), ("3.11.7",), [file]))
    file.write_text("numpy==2\n")
    found.add(digest(Options(), ("3.11.2",), [file]))
    assert len(found) == 4


def test_the_digest_of_the_same_things_is_the_same(tmp_path: Path) -> None:
    file = tmp_path / "constraints.txt"
    file.write_text("numpy==1\n")
    assert digest(Options(), ("a",), [file]) == digest(Options(), ("a",), [file])
