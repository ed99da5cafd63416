"""The recorder's core without sockets, processes or clocks."""

from __future__ import annotations

import math
import resource
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from interactive_dl.telemetry import events, journal, wire
from interactive_dl.telemetry.beside import Started
from interactive_dl.telemetry.exits import Exit
from interactive_dl.telemetry.recorder._recording import (
    GRACE_S,
    GRACE_WITHOUT_MPI_S,
    SILENCE_S,
    Outgoing,
    Recording,
)
from interactive_dl.telemetry.steering import Pause, Sent, Vacate

RUN = "rpv-20260314-101500-a1b2"
ENGINE, OTHER_ENGINE, NOTEBOOK = b"engine", b"other", b"notebook"
PAUSE = Sent("c1", "me@here", Pause())


class Scene:
    """A recorder, and time that passes when a test says so."""

    def __init__(self, runs: Path) -> None:
        self.runs = runs
        self.now_s = 100.0
        self.exits: dict[int, Exit] = {}
        self.programs: list[tuple[str, ...]] = []
        self.recording = self.restarted()

    def restarted(self) -> Recording:
        """Another process of the recorder on the same journals."""
        if hasattr(self, "recording"):
            self.recording.close()
        self.recording = Recording(
            self.runs,
            "cluster",
            lambda: self.exits,
            lambda ended: self.exits.update({ended.engine: ended}),
            self._begin,
            self.now_s,
            lambda: self.now_s,
        )
        return self.recording

    def _begin(self, words: Sequence[str], log: str) -> Started:
        self.programs.append((*words, log))
        return Started("here", 4000 + len(self.programs), self.now_s)

    def say(self, peer: bytes, message: wire.ToRecorder) -> list[Outgoing]:
        return self.recording.handle(peer, message, self.now_s)

    def hello(self, peer: bytes = ENGINE, engine: int = 0, first_seq: int = 0) -> list[Outgoing]:
        return self.say(peer, wire.Hello(wire.PROTOCOL, "1", RUN, engine, first_seq))

    def tell(
        self, seq: int, *them: events.AnyEvent, peer: bytes = ENGINE, engine: int = 0
    ) -> list[Outgoing]:
        lines = [
            events.encode(events.Record(RUN, engine, number, self.now_s, event))
            for number, event in enumerate(them, seq)
        ]
        return self.say(peer, wire.Publish(seq, tuple(lines)))

    def later(self, seconds: float) -> list[Outgoing]:
        """Ticks, every half second."""
        answers: list[Outgoing] = []
        end_s = self.now_s + seconds
        while self.now_s < end_s:
            self.now_s = min(end_s, self.now_s + 0.5)
            answers += self.recording.tick(self.now_s)
        return answers

    def journal(self) -> list[events.Record]:
        path = journal.path_of(self.runs, RUN)
        return journal.decode(journal.read(path, 0), str(path))

    def told(self) -> list[events.AnyEvent]:
        return [record.event for record in self.journal()]


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    one = Scene(tmp_path)
    yield one
    one.recording.close()


def line(number: int) -> events.LogLine:
    return events.LogLine("stdout", str(number))


STARTED = events.Started("rpv", (0, 1), ("a", "b"), 3)


def test_an_acknowledgement_comes_when_the_journal_has_it(scene: Scene) -> None:
    assert scene.hello() == [(ENGINE, wire.HelloAck(0))]
    assert scene.tell(0, line(0), line(1)) == [(ENGINE, wire.Ack(2))]
    assert scene.told() == [line(0), line(1)]


def test_what_comes_twice_is_written_once(scene: Scene) -> None:
    scene.hello()
    scene.tell(0, line(0), line(1))
    assert scene.tell(1, line(1), line(2)) == [(ENGINE, wire.Ack(3))]
    assert scene.tell(0, line(0)) == [(ENGINE, wire.Ack(3))]
    assert scene.told() == [line(0), line(1), line(2)]


def test_what_would_leave_a_gap_is_not_written(scene: Scene) -> None:
    scene.hello()
    assert scene.tell(1, line(1)) == [(ENGINE, wire.WhoAreYou())]
    assert scene.hello() == [(ENGINE, wire.HelloAck(0))]
    assert scene.told() == []


def test_a_gap_that_the_engine_cannot_fill_stays_one(scene: Scene) -> None:
    assert scene.hello(first_seq=5) == [(ENGINE, wire.HelloAck(5))]
    assert scene.tell(5, line(5)) == [(ENGINE, wire.Ack(6))]


@pytest.mark.parametrize(
    "wrong", [b"nonsense", b'{"run":"x","engine":0,"seq":0,"event":{"kind":""}}']
)
def test_a_line_that_is_not_the_expected_record_is_refused(scene: Scene, wrong: bytes) -> None:
    scene.hello()
    (answer,) = scene.say(ENGINE, wire.Publish(0, (wrong,)))
    assert isinstance(answer[1], wire.Refusal)
    assert scene.told() == []


def test_a_restarted_recorder_asks_who_speaks_and_goes_on(scene: Scene) -> None:
    scene.hello()
    scene.tell(0, line(0))
    scene.restarted()
    assert scene.tell(1, line(1)) == [(ENGINE, wire.WhoAreYou())]
    assert scene.say(ENGINE, wire.Beat()) == [(ENGINE, wire.WhoAreYou())]
    assert scene.hello() == [(ENGINE, wire.HelloAck(1))]
    assert scene.tell(1, line(1)) == [(ENGINE, wire.Ack(2))]
    assert scene.told() == [line(0), line(1)]


def test_a_full_disk_is_not_acknowledged_until_there_is_room(scene: Scene) -> None:
    scene.hello()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    heard = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, before[1]))
    try:
        assert scene.tell(0, line(0)) == []
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, heard)
    assert scene.tell(0, line(0)) == [(ENGINE, wire.Ack(1))]
    assert scene.told() == [line(0)]


# -- reading --------------------------------------------------------------------------------------


def read(offset: int, wait_ms: int = 2000) -> wire.Read:
    return wire.Read(7, RUN, offset, wait_ms, 10_000)


def end_of(answers: list[Outgoing]) -> int:
    (part,) = [one for _, one in answers if isinstance(one, wire.Part)]
    return part.offset + len(part.data)


def test_a_reader_gets_what_is_there_at_once_and_waits_for_the_rest(scene: Scene) -> None:
    scene.hello()
    scene.tell(0, line(0))
    offset = end_of(scene.say(NOTEBOOK, read(0)))
    assert scene.say(NOTEBOOK, read(offset)) == []
    answers = scene.tell(1, line(1))
    assert [peer for peer, _ in answers] == [ENGINE, NOTEBOOK]
    assert end_of(answers) > offset
    assert scene.tell(2, line(2)) == [(ENGINE, wire.Ack(3))]


def test_what_goes_to_who_waits_for_it_is_not_read_from_the_disk(scene: Scene) -> None:
    scene.hello()
    scene.tell(0, line(0))
    path = journal.path_of(scene.runs, RUN)
    offset = path.stat().st_size
    moved = path.rename(scene.runs / "elsewhere")
    assert scene.say(NOTEBOOK, read(offset)) == []
    _, (_, part) = scene.tell(1, line(1))
    moved.rename(path)
    chunk = journal.read(path, offset)
    assert part == wire.Part(part.request, *chunk, is_over=False)
    assert scene.later(0.5) == []


def test_who_waits_hears_with_the_last_word_that_it_is_the_last(scene: Scene) -> None:
    scene.hello()
    scene.tell(0, STARTED)
    offset = journal.path_of(scene.runs, RUN).stat().st_size
    assert scene.say(NOTEBOOK, read(offset)) == []
    answers = dict(scene.tell(1, events.Ended("finished")))
    assert answers[NOTEBOOK].data
    assert answers[NOTEBOOK].is_over


def test_a_reader_of_another_place_waits_for_nothing(scene: Scene) -> None:
    scene.hello()
    scene.tell(0, line(0))
    offset = journal.path_of(scene.runs, RUN).stat().st_size
    assert scene.say(NOTEBOOK, read(offset)) == []
    assert scene.say(b"other", read(offset + 10_000)) == []
    answers = dict(scene.tell(1, line(1)))
    assert answers[NOTEBOOK].offset == offset
    assert answers[NOTEBOOK].data
    assert not answers[b"other"].data


def test_a_reader_waits_no_longer_than_it_said(scene: Scene) -> None:
    scene.hello()
    offset = end_of(scene.say(NOTEBOOK, read(0)))
    scene.say(NOTEBOOK, read(offset))
    assert scene.later(1.5) == []
    ((peer, part),) = scene.later(1.0)
    assert peer == NOTEBOOK
    assert isinstance(part, wire.Part)
    assert part.data == b""
    assert not part.is_over


def test_readers_see_journals_that_somebody_else_writes(scene: Scene) -> None:
    writer = journal.Writer.open(journal.path_of(scene.runs, RUN), RUN)
    offset = end_of(scene.say(NOTEBOOK, read(0)))
    assert scene.say(NOTEBOOK, read(offset)) == []
    writer.append([events.encode(events.Record(RUN, 0, 0, 1.0, events.Ended("finished")))])
    ((_, part),) = scene.later(0.5)
    assert isinstance(part, wire.Part)
    assert part.is_over
    writer.close()


def test_nobody_waits_at_the_end_of_a_run_that_is_over(scene: Scene) -> None:
    scene.hello()
    scene.tell(0, events.Ended("finished"))
    ((_, part),) = scene.say(NOTEBOOK, read(end_of(scene.say(NOTEBOOK, read(0)))))
    assert isinstance(part, wire.Part)
    assert part.is_over


def test_what_waits_hears_of_commands_that_are_refused_at_the_end(scene: Scene) -> None:
    scene.hello()
    scene.say(NOTEBOOK, wire.Send(1, RUN, PAUSE))
    offset = end_of(scene.say(NOTEBOOK, read(0)))
    scene.say(NOTEBOOK, read(offset))
    answers = scene.tell(0, events.Ended("finished"))
    assert NOTEBOOK in [peer for peer, _ in answers]
    assert events.CommandRefused("c1", "The run has ended.") in scene.told()


# -- commands -------------------------------------------------------------------------------------


def test_a_command_is_noted_then_relayed(scene: Scene) -> None:
    scene.hello()
    answers = scene.say(NOTEBOOK, wire.Send(9, RUN, PAUSE))
    assert answers == [(NOTEBOOK, wire.Passed(9)), (ENGINE, wire.Relay(PAUSE))]
    assert scene.told() == [events.CommandSent("c1", "me@here", Pause())]
    assert scene.say(NOTEBOOK, wire.Send(10, RUN, PAUSE)) == [(NOTEBOOK, wire.Passed(10))]
    assert len(scene.told()) == 1


def test_unanswered_commands_are_relayed_again_after_a_restart(scene: Scene) -> None:
    scene.hello()
    scene.say(NOTEBOOK, wire.Send(9, RUN, PAUSE))
    scene.restarted()
    assert scene.hello() == [(ENGINE, wire.HelloAck(0)), (ENGINE, wire.Relay(PAUSE))]
    scene.tell(0, events.CommandApplied("c1", 3))
    scene.restarted()
    assert scene.hello() == [(ENGINE, wire.HelloAck(1))]


def test_runs_on_engines_that_are_taken_away_are_told_once(scene: Scene) -> None:
    scene.hello()
    scene.tell(0, STARTED)
    taken = wire.Vacate(1, "job 7, which ends", (1, 2))
    answers = [*scene.say(NOTEBOOK, taken), *scene.say(NOTEBOOK, taken), *scene.later(3.0)]
    sent = Sent("vacate, job 7, which ends", "job 7, which ends", Vacate())
    assert answers.count((ENGINE, wire.Relay(sent))) == 1
    assert answers[0] == (NOTEBOOK, wire.Passed(1))
    assert events.CommandSent(sent.id, sent.who, sent.command) in scene.told()


def test_a_run_that_begins_on_engines_that_are_taken_away_is_told_too(scene: Scene) -> None:
    scene.say(NOTEBOOK, wire.Vacate(1, "job 7", (0,)))
    scene.hello()
    scene.tell(0, STARTED)
    assert (ENGINE, wire.Relay(Sent("vacate, job 7", "job 7", Vacate()))) in scene.later(2.0)


def _planned(in_s: float, *engines: int) -> wire.Vacate:
    return wire.Vacate(1, "job 7", engines, in_s)


SENT_OFF = (ENGINE, wire.Relay(Sent("vacate, job 7", "job 7", Vacate())))


def test_engines_are_taken_away_when_the_time_comes_that_was_told_last(scene: Scene) -> None:
    scene.hello()
    scene.tell(0, STARTED)
    answers = scene.say(NOTEBOOK, _planned(2.0, 0, 1))
    assert scene.say(NOTEBOOK, _planned(6.0, 0, 1)) == [(NOTEBOOK, wire.Passed(1))]
    for _ in range(5):
        answers += scene.later(1.0)
        scene.say(ENGINE, wire.Beat())
    assert SENT_OFF not in answers
    assert scene.later(2.0).count(SENT_OFF) == 1
    assert SENT_OFF not in scene.later(2.0)


@pytest.mark.parametrize("when", ["before", "after"])
def test_engines_that_are_given_back_are_used_as_before(scene: Scene, when: str) -> None:
    scene.say(NOTEBOOK, _planned(0.0 if when == "after" else 1.0, 0))
    assert scene.say(NOTEBOOK, _planned(math.inf, 0)) == [(NOTEBOOK, wire.Passed(1))]
    scene.hello()
    scene.tell(0, STARTED)
    assert scene.later(2.0) == []


def test_engines_that_somebody_gives_back_may_still_be_another_ones(scene: Scene) -> None:
    scene.say(NOTEBOOK, wire.Vacate(1, "job 7", (0,)))
    scene.say(NOTEBOOK, wire.Vacate(1, "me, who renews", (0,)))
    scene.say(NOTEBOOK, wire.Vacate(1, "me, who renews", (0,), math.inf))
    scene.hello()
    scene.tell(0, STARTED)
    assert SENT_OFF in scene.later(2.0)


@pytest.mark.parametrize("are_dead", [True, False])
def test_a_time_that_comes_too_late_ends_no_search_that_goes_on_elsewhere(
    scene: Scene, are_dead: bool
) -> None:
    scene.say(NOTEBOOK, _planned(1.0, 4, 5))
    if are_dead:
        scene.exits |= {engine: _exit(engine) for engine in (4, 5)}
    else:
        scene.say(NOTEBOOK, wire.Vacate(1, "me, who renews", (4, 5)))
    scene.hello()
    scene.tell(0, line(0))
    assert scene.later(3.0) == []
    scene.say(NOTEBOOK, _planned(1.0, 2))
    assert SENT_OFF in scene.later(3.0)


def _exit(engine: int) -> Exit:
    return Exit(engine, "a", 9, 0, None, 1.0, 0)


def test_runs_on_other_engines_go_on(scene: Scene) -> None:
    scene.hello()
    scene.tell(0, STARTED)
    assert scene.say(NOTEBOOK, wire.Vacate(1, "job 7", (2, 3))) == [(NOTEBOOK, wire.Passed(1))]
    assert scene.later(2.0) == []


@pytest.mark.parametrize("run", ["nonsense", "../x", ""])
def test_a_command_for_no_run_is_refused(scene: Scene, run: str) -> None:
    ((_, answer),) = scene.say(NOTEBOOK, wire.Send(9, run, PAUSE))
    assert isinstance(answer, wire.Refusal)
    assert answer.request == 9
    assert "There is no run" in answer.reason


# -- silence --------------------------------------------------------------------------------------


def test_an_engine_that_beats_is_not_lost(scene: Scene) -> None:
    scene.hello()
    for _ in range(30):
        scene.later(1.0)
        assert scene.say(ENGINE, wire.Beat()) == [(ENGINE, wire.Ack(0))]
    assert scene.told() == []


def test_a_silent_run_is_lost_and_found_when_it_is_heard_again(scene: Scene) -> None:
    scene.hello()
    scene.tell(0, STARTED)
    scene.later(SILENCE_S - 1)
    assert scene.told() == [STARTED]
    scene.later(SILENCE_S + 3)
    lost = scene.told()[-1]
    assert isinstance(lost, events.Ended)
    assert (lost.outcome, lost.reason) == ("lost", "engine 0 has not been heard for 10 s")
    assert scene.say(ENGINE, wire.Beat()) == [(ENGINE, wire.WhoAreYou())]
    scene.hello()
    back = scene.told()[-1]
    assert back == events.StateChanged("running", "engine 0 is heard again")
    scene.tell(1, line(1))
    assert [record.seq for record in scene.journal() if record.engine == 0] == [0, 1]


def _killed(engine: int) -> Exit:
    return Exit(engine, "here", 1, None, 9, 0.0, 0)


def test_a_run_whose_group_is_dead_is_lost_at_once(scene: Scene) -> None:
    scene.hello()
    scene.tell(0, STARTED)
    scene.exits = {0: _killed(0), 1: _killed(1)}
    scene.later(3.0)
    lost = scene.told()[-1]
    assert isinstance(lost, events.Ended)
    assert lost.reason == "engine 0 on here: killed by SIGKILL"


def test_the_survivors_of_a_group_have_time_to_go_on(scene: Scene) -> None:
    scene.hello()
    scene.tell(0, STARTED)
    scene.exits = {0: _killed(0)}
    scene.later(GRACE_S - 1)
    scene.hello(OTHER_ENGINE, engine=1)
    scene.tell(0, events.GroupChanged((1,), ("b",), 7), peer=OTHER_ENGINE, engine=1)
    for _ in range(20):
        scene.later(1.0)
        scene.say(OTHER_ENGINE, wire.Beat())
    assert not [event for event in scene.told() if isinstance(event, events.Ended)]


def test_survivors_that_do_not_go_on_leave_a_lost_run(scene: Scene) -> None:
    scene.hello()
    scene.tell(0, STARTED)
    scene.exits = {0: _killed(0)}
    scene.later(GRACE_S + 2)
    assert isinstance(scene.told()[-1], events.Ended)


def test_without_mpi_the_survivors_have_longer(scene: Scene) -> None:
    scene.hello()
    scene.tell(0, STARTED)
    scene.say(OTHER_ENGINE, wire.Attend(1, "b", 7))
    scene.exits = {0: _killed(0)}
    scene.later(GRACE_WITHOUT_MPI_S - 2)
    assert scene.told() == [STARTED]
    scene.later(4.0)
    assert isinstance(scene.told()[-1], events.Ended)


def test_a_run_that_nobody_resumes_after_a_restart_is_lost(scene: Scene) -> None:
    scene.hello()
    scene.tell(0, STARTED)
    scene.restarted()
    scene.later(SILENCE_S + 2)
    assert isinstance(scene.told()[-1], events.Ended)


def test_a_restarted_recorder_leaves_alone_what_others_write(scene: Scene) -> None:
    path = journal.path_of(scene.runs, RUN)
    writer = journal.Writer.open(path, RUN, cluster="another")
    writer.close()
    scene.restarted()
    scene.later(2 * SILENCE_S)
    assert scene.told() == []


def test_a_run_that_has_ended_is_put_away(scene: Scene) -> None:
    scene.hello()
    scene.tell(0, events.Ended("finished"))
    scene.say(ENGINE, wire.Bye())
    scene.later(2 * SILENCE_S)
    assert scene.told() == [events.Ended("finished")]
    journal.Writer.open(journal.path_of(scene.runs, RUN), RUN).close()  # nobody holds it


def test_an_engine_that_leaves_without_a_last_word_is_named(scene: Scene) -> None:
    scene.hello()
    scene.say(ENGINE, wire.Bye())
    scene.later(SILENCE_S + 2)
    (lost,) = scene.told()
    assert isinstance(lost, events.Ended)
    assert lost.reason == "engine 0 left without a last word"


def test_a_program_of_ours_is_started_beside_it_once(scene: Scene) -> None:
    wish = wire.Begin(1, "w1", ("-m", "interactive_dl.search.driver", "--x"), "search.log")
    first, again = scene.say(NOTEBOOK, wish), scene.say(NOTEBOOK, wish)
    assert first == again == [(NOTEBOOK, wire.Begun(1, Started("here", 4001, scene.now_s)))]
    assert scene.programs == [("-m", "interactive_dl.search.driver", "--x", "search.log")]


@pytest.mark.parametrize("words", [("-m", "http.server"), ("-c", "interactive_dl."), ()])
def test_other_programs_are_not_started(scene: Scene, words: tuple[str, ...]) -> None:
    [(_, answer)] = scene.say(NOTEBOOK, wire.Begin(1, "w1", words, "x.log"))
    assert isinstance(answer, wire.Refusal)
    assert not scene.programs
