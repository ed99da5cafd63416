"""What of a journal is done again, and where two curves part."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from interactive_dl.cluster import replay as programs
from interactive_dl.errors import ReplayError
from interactive_dl.telemetry import events, replay
from interactive_dl.telemetry.steering import Evaluate, Pause, SetKnobs, Stop

STARTED = events.Started(
    name="r",
    engines=(0, 1),
    hosts=("a", "a"),
    epochs=3,
    source="print('trains')",
    environment={"OMP_NUM_THREADS": "1"},
)


def records(*told: events.AnyEvent) -> list[events.Record]:
    return [events.Record("r-1", 0, seq, 0.0, event) for seq, event in enumerate(told)]


def progress(step: int, loss: float) -> events.Progress:
    return events.Progress(step, 0, step, {"loss": loss}, 0.1)


def test_commands_come_after_their_steps_again_and_pauses_do_not() -> None:
    quick, evaluated = SetKnobs({"learning_rate": 0.1}), Evaluate()
    told = records(
        STARTED,
        events.CommandSent("1", "me", quick),
        events.CommandApplied("1", 7),
        events.CommandSent("2", "me", Pause()),
        events.CommandApplied("2", 8),
        events.CommandSent("3", "me", evaluated),
        events.CommandApplied("3", 10, at_epoch_end=True),
        events.CommandSent("4", "me", quick),
        events.CommandRefused("4", "no"),
        progress(3, 1.0),
        events.Ended("interrupted", step=12),
    )
    score = replay.score(told)
    assert [sent.command for sent in score.within[7]] == [quick]
    assert [sent.command for sent in score.between[10]] == [evaluated]
    assert [sent.command for sent in score.within[12]] == [Stop("step")]
    assert set(score.within) == {7, 12}
    assert (score.ranks, score.reports) == (2, {3})


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        ([], "from its beginning"),
        ([events.Started("r", (0,), ("a",), 3)], "could not be read"),
        ([events.Started("r", (0,), ("a",), 3, source="x", first_step=5)], "after step 5"),
        ([STARTED, events.GroupChanged((0,), ("a",), 9)], "1 of 2 after step 9"),
    ],
)
def test_what_cannot_be_trained_again_says_why(
    told: Sequence[events.AnyEvent], reason: str
) -> None:
    with pytest.raises(ReplayError, match=reason):
        replay.score(records(*told))


def test_curves_are_compared_bit_for_bit_at_common_steps() -> None:
    one = records(STARTED, progress(1, 0.5), progress(2, 0.25), progress(3, 0.125))
    same = records(STARTED, progress(1, 0.5), progress(3, 0.125))
    other = records(STARTED, progress(2, 0.25), progress(3, 0.125 + 2**-50))
    assert replay.compare(one, same) is None
    assert replay.compare(one, other) == replay.Difference(3, "loss", 0.125, 0.125 + 2**-50)
    with pytest.raises(ReplayError, match="none at the same step"):
        replay.compare(one, records(STARTED, progress(9, 1.0)))


def test_a_run_is_asked_for_by_name_and_number(
    monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    monkeypatch.setattr(replay, "read", lambda path: replay.score(records(STARTED)))
    assert replay.requested("r", 0) is None
    monkeypatch.setenv(replay.VARIABLE, "a journal")
    assert replay.requested("r", 0) is not None
    assert replay.requested("r", 1) is None
    assert replay.requested("another", 0) is None


def test_the_batch_script_starts_the_same_ranks_with_the_same_variables() -> None:
    lines = programs.script_text(replay.score(records(STARTED))).splitlines()
    assert lines[0] == "#!/bin/bash"
    assert "#SBATCH --ntasks=2" in lines
    assert "export OMP_NUM_THREADS=1" in lines
    assert "export IDL_REPLAY=journal.jsonl" in lines
    assert lines[-1] == "mpiexec -n 2 python program.py"


def test_a_program_that_needs_ipython_is_refused_with_its_line() -> None:
    magic = events.Started("r", (0,), ("a",), 3, source="%matplotlib inline\nx = 1")
    with pytest.raises(ReplayError, match="matplotlib"):
        programs.program_text(replay.score(records(magic)))
