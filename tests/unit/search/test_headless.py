"""What `idl search` makes of scripts, and what it says."""

from __future__ import annotations

import queue
from pathlib import Path

import pytest

from interactive_dl.errors import SearchError
from interactive_dl.search import events as e
from interactive_dl.search import headless, tables, words
from interactive_dl.search.ranges import fixed, log_uniform
from interactive_dl.search.search import Search
from interactive_dl.search.space import Space
from interactive_dl.telemetry import journal
from interactive_dl.telemetry.events import Ended

from .conftest import Play

SEARCH = "idl.Search(lambda trial: 1.0, {'x': idl.uniform(0, 1)}, name='toy')"


def script(folder: Path, *lines: str) -> Path:
    path = folder / "script.py"
    path.write_text("\n".join(["import interactive_dl as idl", *lines]))
    return path


@pytest.fixture
def play() -> Play:
    space = Space.of({"lr": log_uniform(1e-4, 1e-1), "batch": fixed(64)})
    play = Play(e.SearchBegan("digits", space, "accuracy", "maximize"))
    for number, (state, value) in enumerate(
        [("finished", 0.5), ("finished", 0.9), ("pruned", 0.95), ("failed", None)]
    ):
        play.create(e.TrialCreated(number, {"lr": 0.012345 * (number + 1), "batch": 64}))
        play.tell(e.TrialStarted(number, (0,)))
        play.now_s += 1.5
        if value is not None:
            play.tell(e.Reported(number, 4, {"accuracy": value}))
        why = "ValueError: bad\nrank 0" if state == "failed" else ""
        play.tell(e.TrialEnded(number, state, why))  # type: ignore[arg-type]
    return play


def test_a_script_describes_a_search(tmp_path: Path) -> None:
    (tmp_path / "beside.py").write_text("NAME = 'toy'")
    path = script(tmp_path, "from beside import NAME", f"search = {SEARCH}")
    search = headless.load(path)
    assert (search.name, search.state) == ("toy", "not started")
    assert search.renamed("other").id.startswith("other-")


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["x = 1"], "script.py has none"),
        ([f"a = {SEARCH}", f"b = {SEARCH}"], "script.py has a, b"),
        (["class Cluster: pass"], r"search = idl.Search\(objective"),
    ],
)
def test_a_script_with_no_search_or_several_is_refused(
    tmp_path: Path, lines: list[str], said: str
) -> None:
    with pytest.raises(SearchError, match=said):
        headless.load(script(tmp_path, *lines))


def test_a_script_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SearchError, match=r"there is no .*nowhere\.py"):
        headless.load(tmp_path / "nowhere.py")


def test_a_search_needs_a_script_or_a_name_to_resume() -> None:
    with pytest.raises(SearchError, match="--resume NAME"):
        headless.run(headless.Wanted(), print)


def test_a_line_says_what_became_of_a_trial(play: Play) -> None:
    words = " ".join(tables.line(play.book, 1).split())
    assert words == "trial 1 finished accuracy 0.9 1.5 s lr=0.02469"
    assert tables.line(play.book, 3).endswith("lr=0.04938  (ValueError: bad)")


def test_the_table_begins_with_the_best_that_finished(play: Play) -> None:
    lines = tables.table(play.book).splitlines()
    assert [line.split()[0] for line in lines[1:5]] == ["1", "0", "2", "3"]
    assert lines[-1] == "2 finished, 1 pruned, 1 failed; best accuracy 0.9 of trial 1"


def test_a_long_table_shows_twenty_and_says_where_the_others_are(play: Play) -> None:
    for number in range(4, 30):
        play.create(e.TrialCreated(number, {"lr": 1e-3, "batch": 64}))
    lines = tables.table(play.book).splitlines()
    assert len(lines) == 1 + 20 + 2
    assert "and 10 more" in lines[-2]
    play.book.run = words.journal_of("digits-20260101-000000-0000")
    assert "attach('digits-20260101-000000-0000').frame()" in tables.table(play.book)


def test_searches_are_listed_with_their_state(play: Play, tmp_path: Path) -> None:
    assert headless.listing(tmp_path).splitlines()[1:] == ["  none"]
    for number, name in enumerate(["ended-20260101-000000-0000", "left-20260101-000001-0000"]):
        run = words.journal_of(name)
        writer = journal.Writer.open(journal.path_of(tmp_path, run), run)
        told = play.journal if number else [*play.journal, _record(play, Ended("finished"))]
        writer.append([e.encode(record) for record in told])
        writer.close()
    (tmp_path / "odd-20260101-000002-0000.search.jsonl").write_text("{}\n")
    lines = headless.listing(tmp_path).splitlines()[1:]
    assert [line.split()[1] for line in lines] == ["finished", "abandoned", "unreadable:"]
    assert "best accuracy 0.9 of trial 1" in lines[1]


def test_a_search_that_was_opened_again_is_watched_beyond_its_first_end(
    play: Play, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for event in (Ended("finished"), e.Reopened()):
        play.tell(event)
    name = "again-20260101-000000-0000"
    run = words.journal_of(name)
    writer = journal.Writer.open(journal.path_of(tmp_path, run), run)
    writer.append([e.encode(record) for record in play.journal])
    writer.close()
    search = Search.attach(name, runs=tmp_path)
    lines, said = queue.SimpleQueue[str | None](), list[str]()
    for line in (None, "a trial of later"):
        lines.put(line)
    monkeypatch.setattr(headless, "_LOOK_S", 0.01)
    with pytest.raises(SearchError, match="Nobody runs"):
        headless._tell(search, lines, said.append)
    assert said == ["a trial of later"]
    search.close()


def _record(play: Play, event: e.AnySearchEvent) -> e.Record:
    return e.Record("s", e.DRIVER, len(play.journal), play.now_s, event)
