"""What an objective gets, and what becomes of what it returns; on no engine."""

from __future__ import annotations

import resource
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cloudpickle
import numpy as np
import pytest

from interactive_dl.errors import SearchError
from interactive_dl.search import _launching, words, worker
from interactive_dl.search.events import Limits, Promotion
from interactive_dl.search.trial import Trial
from interactive_dl.telemetry import events as telemetry


def make(tmp_path: Path, told: list[Any], **options: Any) -> Trial:
    wanted = {"params": {"x": 2}, "engines": (0,), **options}
    task = words.Task("s", "s", 3, 1, metric="loss", folder=str(tmp_path), **wanted)
    return Trial(task, told.append)


def test_reports_are_plain_finite_numbers(tmp_path: Path) -> None:
    told: list[Any] = []
    trial = make(tmp_path, told)
    trial.report(1, loss=np.float32(0.5), count=np.int64(3), bad=float("inf"))
    assert told == [words.Reports(3, 1, 1, {"loss": 0.5, "count": 3, "bad": None})]
    for step, value, what in ((1.5, 1.0, "whole number"), (True, 1.0, "whole"), (1, "a", "'a'")):
        with pytest.raises(SearchError, match=what):
            trial.report(step, loss=value)  # type: ignore[arg-type]


def test_a_trial_leaves_when_told_and_knows_that_it_was(tmp_path: Path) -> None:
    trial = make(tmp_path, [])
    assert not trial.should_stop
    trial.hear(words.SetRate(3, 1, 0.1))
    trial.hear(words.Leave(3, 1, "pause"))
    trial.hear(words.Leave(3, 1, "stop"))
    assert not trial.has_heeded
    assert trial.should_stop
    assert trial.has_heeded
    assert trial.reason == "pause"
    assert len(trial.take_orders()) == 3
    assert trial.take_orders() == []


def test_a_trial_has_files_only_where_it_needs_some(tmp_path: Path) -> None:
    folder = tmp_path / "trial"
    trial = make(folder, [])
    with worker._printed_into(trial):
        pass
    assert not folder.exists()
    for line in ("one", "two"):
        with worker._printed_into(trial):
            print(line)
    assert (trial.folder / worker.OUTPUT).read_text() == "one\ntwo\n"


def test_a_promotion_trains_its_epochs_on_top_of_its_parents(tmp_path: Path) -> None:
    assert make(tmp_path, []).epochs(8) == 8
    promoted = make(tmp_path, [], promotion=Promotion(epochs=5), begun=8)
    assert promoted.epochs(8) == 13


@pytest.mark.parametrize(
    ("returned", "value"),
    [
        (1, 1.0),
        (np.float32(0.5), 0.5),
        (None, None),
        (float("nan"), None),
        ({"loss": [3, 2, 1], "acc": [0, 0, 1]}, 1.0),
        (SimpleNamespace(history={"loss": [3.0, 0.5]}), 0.5),
        ({"other": [1]}, None),
    ],
)
def test_what_objectives_return(tmp_path: Path, returned: Any, value: float | None) -> None:
    assert worker._value(make(tmp_path, []), returned, "loss") == value


def test_a_history_is_reported_once(tmp_path: Path) -> None:
    told: list[Any] = []
    trial = make(tmp_path, told)
    worker._value(trial, {"loss": [3, 2]}, "loss")
    assert [(one.step, one.metrics) for one in told] == [(1, {"loss": 3}), (2, {"loss": 2})]
    worker._value(trial, {"loss": [3, 2]}, "loss")
    assert len(told) == 2


def test_both_forms_of_objectives_are_called(tmp_path: Path) -> None:
    trial = make(tmp_path, [])
    assert worker._call(lambda trial: trial.number, trial) == 3
    assert worker._call(lambda x: x + 1, trial) == 3


def test_a_trial_that_takes_too_much_memory_gets_an_error_and_the_limit_ends_with_it() -> None:
    before = resource.getrlimit(resource.RLIMIT_DATA)
    with worker._limited(50_000_000):
        assert len(bytearray(1_000_000)) == 1_000_000
        with pytest.raises(MemoryError):
            bytearray(200_000_000)
    assert resource.getrlimit(resource.RLIMIT_DATA) == before


def test_a_function_of_ones_own_module_goes_whole(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("def objective(trial):\n    return 7\n")
    script = (
        "import sys; sys.path.insert(0, sys.argv[1]); import mine;"
        "from interactive_dl.search import _launching;"
        "sys.stdout.buffer.write(_launching.pickled(mine.objective))"
    )
    data = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], check=True, capture_output=True
    ).stdout
    assert cloudpickle.loads(data)(None) == 7


def test_objectives_that_cannot_be_sent_say_why() -> None:
    lock = threading.Lock()
    with pytest.raises(SearchError, match="belong inside of it"):
        _launching.pickled(lambda trial: lock.locked())
    big = np.zeros(2**22)
    with pytest.raises(SearchError, match=r"data\.open"):
        _launching.pickled(lambda trial: big.sum())
    with pytest.raises(SearchError, match="is a function"):
        _launching.pickled(3)  # type: ignore[arg-type]


def _looks(trial: Any) -> None:
    if trial.should_stop:
        raise ValueError("enough")


def _fails(trial: Any) -> None:
    raise ValueError("a mistake")


def _is_struck(trial: Any) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("objective", "reason", "outcome"),
    [
        (_looks, "pause", "left"),
        (_is_struck, "stop", "left"),
        (_is_struck, "", "failed"),
        (_fails, "", "failed"),
        (_fails, "pause", "failed"),
        (lambda trial: 1.0, "stop", "finished"),
    ],
)
def test_only_who_knows_that_it_is_to_leave_has_left(
    tmp_path: Path, objective: Any, reason: Any, outcome: str
) -> None:
    trial = make(tmp_path, [])
    if reason:
        trial.hear(words.Leave(3, 1, reason))
    returned = worker._try(trial, trial._task, cloudpickle.dumps(objective))
    assert returned.outcome == outcome
    assert returned.reason == (reason if outcome == "left" else "")
    if objective is _fails:
        assert "ValueError: a mistake" in (tmp_path / worker.OUTPUT).read_text()


def test_an_attempt_is_tried_once_and_not_after_it_was_withdrawn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[Any] = []
    line = worker._Line.__new__(worker._Line)
    line._engine, line._done_with, line._lock = 2, set(), threading.Lock()
    line._hosted = None
    line._publisher = SimpleNamespace(publish=told.append)  # type: ignore[assignment]
    monkeypatch.setattr(line, "tell", told.append)
    assert line.takes(7, 1)
    assert not line.takes(7, 1)
    line._take("a", words.Withdraw(7, 1, 2))  # too late
    line._take("b", words.Withdraw(8, 1, 3))  # another engine's
    line._take("c", words.Withdraw(9, 1, 2))
    assert told == [
        telemetry.CommandApplied("a", step=0),
        words.Withdrawn(9, 1),
        telemetry.CommandApplied("c", step=0),
    ]
    assert line.takes(8, 1)
    assert not line.takes(9, 1)
    assert line.takes(9, 2)


@pytest.mark.parametrize(
    "limits", [{"engines_per_trial": 5}, {"engines_per_trial": 0}, {"trials": 0}, {"crashes": -1}]
)
def test_limits_that_would_let_nothing_start_are_refused(limits: dict[str, int]) -> None:
    cluster: Any = SimpleNamespace(size=4)
    with pytest.raises(SearchError, match=next(iter(limits))):
        _launching.check_limits(Limits(**limits), cluster)
