"""The book: any journal that was written makes the same one, and what cannot be is refused."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interactive_dl.errors import JournalError, TransitionError
from interactive_dl.search import events as e
from interactive_dl.search.book import Book
from interactive_dl.search.ranges import uniform
from interactive_dl.search.space import Space
from interactive_dl.telemetry import journal
from interactive_dl.telemetry.events import RECORDER, Ended, StateChanged

BEGAN = e.SearchBegan("s", Space.of({"x": uniform(0, 1)}), "loss")
ENGINES = 3


def numbered(events: list[e.AnySearchEvent]) -> list[e.Record]:
    return [e.Record("s-1", e.DRIVER, i, float(i), event) for i, event in enumerate(events)]


def any_event(chance: random.Random, trials: int) -> e.AnySearchEvent:
    """Any event at all, about a trial that may exist."""
    number = chance.randrange(trials + 1)
    engine = chance.randrange(ENGINES)
    return chance.choice(
        [
            e.TrialCreated(trials, {"x": 0.5}),
            e.TrialCreated(number, {"x": 0.5}, "clone", parent=number, priority=2),
            e.TrialStarted(number, (engine,)),
            e.TrialStarted(number, (engine, (engine + 1) % ENGINES)),
            e.Reported(number, chance.randrange(5), {"loss": chance.random()}),
            e.TrialCheckpointed(number, 3, "/c"),
            e.TrialPaused(number),
            e.TrialResumed(number),
            e.TrialCrashed(number, (engine,)),
            e.TrialEnded(number, chance.choice(["finished", "pruned", "stopped", "failed"])),
            e.Acted(str(chance.random()), "ada", e.SetPriority(number, chance.randrange(3))),
            e.Acted(str(chance.random()), "ada", e.StopTrial(number)),
            e.Acted(str(chance.random()), "ada", e.PauseTrial(number)),
            e.Acted(str(chance.random()), "ada", e.ResumeTrial(number)),
            e.Acted("same", "ada", e.Restart(number)),
            e.Acted(str(chance.random()), "ada", e.SetTrials(chance.randrange(9))),
            e.Acted(str(chance.random()), "ada", e.SetRange("x", uniform(0, 2))),
        ]
    )


def shown(book: Book) -> dict:
    """All of a book, to compare."""
    with_queue = {**vars(book), "queued": [trial.number for trial in book.next_queued()]}
    return {name: value for name, value in with_queue.items() if name != "_queue"}


def written(seed: int, count: int) -> tuple[list[e.Record], Book]:
    """A journal of events that could follow, chosen from any at all."""
    chance, book, kept = random.Random(seed), Book(), [BEGAN]
    book.add(numbered([BEGAN])[0])
    for _ in range(count):
        event = any_event(chance, len(book.trials))
        before = shown(Book.of(numbered(kept))) if chance.random() < 0.05 else None
        try:
            book.add(numbered([*kept, event])[-1])
        except TransitionError:
            assert before is None or shown(book) == before
            continue
        kept.append(event)
    return numbered(kept), book


@settings(max_examples=60)
@given(seed=st.integers(0, 2**32), count=st.integers(0, 150), cut=st.floats(0, 1))
def test_any_beginning_of_a_journal_is_a_legal_book_that_the_rest_completes(seed, count, cut):
    records, book = written(seed, count)
    begun = Book.of(records[: int(cut * len(records))])
    check_legal(begun)
    for record in records:
        begun.add(record)
    assert shown(begun) == shown(Book.of(records)) == shown(book)


@settings(max_examples=60)
@given(seed=st.integers(0, 2**32), count=st.integers(0, 200))
def test_every_trial_ends_at_most_once_and_is_never_seen_again(seed, count):
    records, book = written(seed, count)
    over: set[int] = set()
    for record in records:
        match record.event:
            case e.TrialEnded(trial=number):
                assert number not in over
                over.add(number)
            case e.TrialStarted(trial=number) | e.Reported(trial=number):
                assert number not in over
    assert over == {trial.number for trial in book.trials if trial.is_over}


def check_legal(book: Book) -> None:
    by_state: dict[str, set[int]] = {}
    for trial in book.trials:
        by_state.setdefault(trial.state, set()).add(trial.number)
        assert (trial.ended_s is not None) == trial.is_over
        assert bool(trial.wish) == (trial.number in book.wishes)
    assert set(book.running) == by_state.get("running", set())
    assert book.paused == by_state.get("paused", set())
    taken = [engine for engines in book.running.values() for engine in engines]
    assert len(taken) == len(set(taken))
    assert {s: len(n) for s, n in by_state.items()} == {
        state: count for state, count in book.count_by_state.items() if count
    }
    queued = list(book.next_queued())
    assert {trial.number for trial in queued} == by_state.get("queued", set())
    order = [(-trial.priority, trial.number) for trial in queued]
    assert order == sorted(set(order))


def test_the_journal_is_a_run_s_and_a_torn_line_is_not_there(tmp_path):
    records, book = written(seed=7, count=100)
    writer = journal.Writer.open(tmp_path / "s-1.jsonl", "s-1")
    writer.append([e.encode(record) for record in records])
    writer.close()
    assert list(e.records(writer.path)) == records
    assert shown(Book.of(e.records(writer.path))) == shown(book)
    with writer.path.open("r+b") as file:
        file.truncate(writer.size - 3)
    assert list(e.records(writer.path)) == records[:-1]


def test_a_recorder_can_skim_what_a_search_tells():
    for record in [*written(seed=3, count=200)[0], *numbered([e.TrialCreated(0, {}, needs=2)])]:
        assert journal.brief(e.encode(record)).event.kind == type(record.event).__name__


def test_a_search_whose_driver_is_silent_is_lost_until_it_is_heard_again():
    records = numbered([BEGAN, e.TrialCreated(0, {"x": 0.5}), e.TrialStarted(0, (0,))])
    lost = e.Record("s-1", RECORDER, 0, 3.0, Ended("lost", "silent"))
    heard = e.Record("s-1", RECORDER, 1, 4.0, StateChanged("running"))
    book = Book.of([*records, lost])
    assert book.is_lost
    assert book.ended is None
    book.add(heard)
    assert not book.is_lost
    assert list(book.running) == [0]


def test_a_search_that_ended_is_over_for_whoever_lists_journals(tmp_path):
    writer = journal.Writer.open(tmp_path / "s-1.jsonl", "s-1")
    records = numbered([BEGAN, e.Ended("finished")])
    writer.append([e.encode(records[0])])
    assert journal.outcome(writer.path) is None
    writer.append([e.encode(records[1])])
    assert journal.outcome(writer.path) == "finished"
    writer.close()


def test_a_run_s_journal_is_no_search_s(tmp_path):
    writer = journal.Writer.open(tmp_path / "r.jsonl", "r")
    writer.append([b'{"run":"r","engine":0,"seq":0,"time_s":0,"event":{"kind":"Started"}}'])
    writer.close()
    with pytest.raises(JournalError, match=r"no record of a search.*idl.open_run"):
        list(e.records(writer.path))


def test_records_that_come_again_are_left_out_and_gaps_are_refused():
    records = numbered([BEGAN, e.TrialCreated(0, {"x": 0.5}), e.TrialStarted(0, (0,))])
    book = Book.of(records[:2])
    assert not book.add(records[1])
    with pytest.raises(TransitionError, match="after number 0 .* came 2"):
        Book.of([records[0], records[2]])
    assert book.add(records[2])


@pytest.mark.parametrize(
    ("events", "says"),
    [
        ([e.TrialCreated(0, {})], "not begun"),
        ([BEGAN, BEGAN], "begins once"),
        ([BEGAN, e.TrialCreated(1, {})], "the next is 0, but got 1"),
        ([BEGAN, e.TrialStarted(0, (0,))], "no trials yet, but got 0"),
        ([BEGAN, e.TrialCreated(0, {}), e.Reported(0, 1, {})], "running, but trial 0 is queued"),
        ([BEGAN, e.TrialCreated(0, {}), e.Ended("finished")], "1 have not"),
        ([BEGAN, e.Ended("finished"), e.TrialCreated(0, {})], "has ended"),
        (
            [
                BEGAN,
                e.TrialCreated(0, {}),
                e.TrialCreated(1, {}),
                e.TrialStarted(0, (2,)),
                e.TrialStarted(1, (1, 2)),
            ],
            r"free engines.*\{2: 0\}",
        ),
    ],
)
def test_what_cannot_follow_is_refused_with_the_rule(events, says):
    with pytest.raises(TransitionError, match=says):
        Book.of(numbered(events))


def test_the_best_is_the_best_finished_trial_in_the_search_s_direction():
    for direction, expected in (("minimize", [0, 2]), ("maximize", [0, 1])):
        events: list = [e.SearchBegan("s", BEGAN.space, "loss", direction)]
        for number, value in enumerate([2.0, 3.0, 1.0, float("inf")]):
            events += [
                e.TrialCreated(number, {"x": 0.5}),
                e.TrialStarted(number, (0,)),
                e.Reported(number, 1, {"loss": value if value < 9 else None}),
                e.TrialEnded(number, "finished"),
            ]
        book = Book.of(numbered(events))
        assert book.bests == expected
        assert book.best == expected[-1]
        assert book.trials[3].value is None


def test_time_counts_while_somebody_works_on_the_search() -> None:
    book = Book()
    events: list[tuple[float, e.AnySearchEvent]] = [
        (100, BEGAN),
        (101, e.AtWork(begins=True)),
        (130, e.AtWork()),  # and then it was killed
        (1000, e.AtWork(begins=True)),
        (1005, Ended("finished")),
        (5000, e.Reopened()),
    ]
    worked_s = []
    for seq, (time_s, event) in enumerate(events):
        book.add(e.Record("s-1", e.DRIVER, seq, float(time_s), event))
        worked_s.append((book.worked_s(time_s), book.worked_s(time_s + 7)))
    assert worked_s == [(0, 7), (0, 7), (29, 36), (29, 36), (34, 34), (34, 41)]
    record = e.Record("s-1", RECORDER, 0, 9999.0, StateChanged("running"))
    book.add(record)
    assert book.worked_s(5000) == 34, "the recorder's word is no work"
