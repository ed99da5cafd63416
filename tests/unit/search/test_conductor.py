"""What the driver makes of what it hears, without a cluster: engines are numbers that speak."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from interactive_dl.search import events as e
from interactive_dl.search import words
from interactive_dl.search.book import Book
from interactive_dl.search.driver import _drive
from interactive_dl.search.driver._conductor import (
    DEATH_S,
    QUIET_S,
    SILENCE_S,
    Asked,
    Conductor,
    TaskFailed,
    Told,
    Vacated,
)
from interactive_dl.search.driver._keeper import Keeper
from interactive_dl.search.ranges import uniform
from interactive_dl.search.space import Space
from interactive_dl.telemetry import journal

NAME = "toy-20260101-000000-abcd"


class Engines:
    """Remembers what was asked of it."""

    def __init__(self, count: int) -> None:
        self.here = list(range(count))
        self.tasks: list[words.Task] = []
        self.orders: list[Any] = []
        self.answers: dict[str, str] = {}
        self.wanted = count
        self.sponsors: list[int] = []
        self.mends = False
        self.taken: set[int] = set()

    def living(self) -> tuple[int, ...]:
        return tuple(self.here)

    def size(self) -> int:
        return self.wanted

    def busy(self) -> set[int]:
        return self.taken

    def start(self, task: words.Task) -> None:
        self.tasks.append(task)

    def order(self, order: Any) -> None:
        self.orders.append(order)

    def answer(self, id_: str, refusal: str) -> None:
        self.answers[id_] = refusal

    def lacks(self) -> bool:
        return len(self.here) < self.wanted

    def mend(self, sponsor: int) -> None:
        self.sponsors.append(sponsor)
        self.mends = True

    def is_mending(self) -> bool:
        return self.mends


class Search:
    """A driver on its journal; ``restart`` is what happens after a kill -9."""

    def __init__(self, folder: Path, engines: int = 2, **options: Any) -> None:
        self.folder, self.engines, self.now_s = folder, Engines(engines), 1000.0
        limits = e.Limits(**{"trials": 4, **options.pop("limits", {})})
        began = e.SearchBegan(
            "toy", Space.of({"x": uniform(0, 1)}), "loss", limits=limits, **options
        )
        self.keeper = self._keeper()
        self.keeper.write(began)
        self.conductor = self._conduct()

    def _keeper(self) -> Keeper:
        return Keeper(NAME, self.folder / "journal.jsonl", lambda: self.now_s)

    def _conduct(self) -> Conductor:
        return Conductor(self.keeper, self.engines, self.folder, self.now_s)

    @property
    def book(self) -> Book:
        return self.keeper.book

    def restart(self) -> None:
        self.keeper.close()
        self.keeper = self._keeper()
        self.conductor = self._conduct()

    def go(self, *heard: Asked | Told | TaskFailed | Vacated, after_s: float = 0.0) -> None:
        self.now_s += after_s
        for one in heard:
            self.conductor.take(one, self.now_s)
        self.conductor.advance(self.now_s)

    def act(self, action: e.AnyAction) -> str:
        """What was refused; empty if nothing."""
        id_ = f"a{len(self.engines.answers)}"
        self.go(Asked(id_, "ada@here", action))
        return self.engines.answers[id_]

    def says(self, trial: int, make: Callable[..., words.AnyWord], *args: Any) -> Told:
        current = self.book.trials[trial]
        return Told(current.attempts[-1].engines[0], make(trial, len(current.attempts), *args))

    def finish(self, trial: int, value: float) -> None:
        self.go(self.says(trial, words.Returned, "finished", "", value))

    def states(self) -> list[str]:
        return [trial.state for trial in self.book.trials]


@pytest.fixture
def search(tmp_path: Path) -> Search:
    made = Search(tmp_path)
    made.go()
    return made


def test_a_search_runs_to_its_end_and_tries_everything_once(search: Search) -> None:
    for number in range(4):
        assert [task.trial for task in search.engines.tasks] == list(range(min(number + 2, 4)))
        search.finish(number, float(number))
    assert search.states() == ["finished"] * 4
    assert search.book.best == 0
    assert search.conductor.is_over
    assert search.book.ended is not None
    assert search.book.ended.outcome == "finished"


def test_what_was_ordered_before_the_engine_has_begun_is_ordered_again(search: Search) -> None:
    search.act(e.SetLearningRate(0, 0.1))
    search.act(e.StopTrial(0))
    orders = [words.SetRate(0, 1, 0.1), words.Leave(0, 1, "stop")]
    assert search.engines.orders == orders
    search.go(search.says(0, words.Began))
    assert search.engines.orders == [*orders, *orders]


def test_what_is_told_twice_or_late_is_left_out(search: Search) -> None:
    report = search.says(0, words.Reports, 1, {"loss": 0.5})
    late = search.says(0, words.Returned, "finished", "", 7.0)
    search.go(report, report)
    size = search.book.next_seq[e.DRIVER]
    search.go(report)
    assert search.book.next_seq[e.DRIVER] == size
    search.finish(0, 0.25)
    search.go(late)
    assert search.book.trials[0].value == 0.25


def test_a_restarted_driver_starts_nothing_twice_and_hears_what_it_missed(search: Search) -> None:
    search.go(search.says(0, words.Began), search.says(1, words.Began))
    report = search.says(0, words.Reports, 1, {"loss": 0.5})
    search.go(report)
    tasks = len(search.engines.tasks)
    search.restart()
    search.go(search.says(0, words.Began), search.says(1, words.Began), report)
    search.go(after_s=10 * SILENCE_S)
    assert len(search.engines.tasks) == tasks
    search.finish(0, 0.5)
    assert search.states()[:2] == ["finished", "running"]


def test_a_task_that_never_reached_its_engine_is_sent_again_as_the_same_attempt(
    search: Search,
) -> None:
    search.restart()  # killed between the journal and the engine
    search.go(search.says(1, words.Began))
    search.go(after_s=SILENCE_S)
    assert [(task.trial, task.attempt) for task in search.engines.tasks] == [(0, 1), (1, 1), (0, 1)]
    assert len(search.book.trials[0].attempts) == 1


def test_a_trial_goes_elsewhere_when_its_engine_dies_and_its_last_words_count(
    search: Search,
) -> None:
    search.go(search.says(0, words.Saved, 3, "/c.keras"))
    search.engines.here = [1, 2]
    search.go()
    assert search.states()[0] == "running"
    search.go(after_s=DEATH_S)
    assert search.book.trials[0].crashed_on == {0}
    again = search.engines.tasks[-1]
    assert (again.trial, again.attempt, again.engines) == (0, 2, (2,))
    assert (again.checkpoint, again.is_own) == ("/c.keras", True)
    search.engines.here = [1]
    search.go(search.says(0, words.Returned, "finished", "", 1.0))
    assert search.states()[0] == "finished"


def test_nothing_is_sent_to_an_engine_that_others_keep_busy(tmp_path: Path) -> None:
    search = Search(tmp_path, engines=3)
    search.engines.taken = {0}
    search.go()
    assert [task.engines for task in search.engines.tasks] == [(1,), (2,)]
    search.engines.taken = {1}  # it has begun, and goes on
    search.go(search.says(0, words.Began))
    assert search.engines.tasks[-1].engines == (0,)
    assert search.engines.orders == []


def test_what_waits_behind_others_is_withdrawn_and_goes_elsewhere(search: Search) -> None:
    search.go(search.says(1, words.Began))
    search.engines.here, search.engines.taken = [0, 1, 2], {0}
    search.go()
    search.go()
    assert search.engines.orders == [words.Withdraw(0, 1, 0)]
    assert search.states()[0] == "running", "its engine may have begun"
    search.engines.here = [0, 1, 2, 3]
    search.go(search.says(0, words.Withdrawn))
    assert (search.book.trials[0].crashes, search.book.trials[0].crashed_on) == (0, set())
    again = next(task for task in search.engines.tasks if (task.trial, task.attempt) == (0, 2))
    assert again.engines == (3,)
    search.go(search.says(0, words.Began))
    assert len(search.engines.orders) == 1


def test_a_trial_that_has_begun_meanwhile_is_not_withdrawn(search: Search) -> None:
    search.engines.taken = {0, 1}
    search.go()
    search.go(search.says(0, words.Began), search.says(1, words.Began))
    assert search.states()[:2] == ["running", "running"]
    assert [len(one.attempts) for one in search.book.trials[:2]] == [1, 1]


def test_a_group_is_not_withdrawn(tmp_path: Path) -> None:
    search = Search(tmp_path, engines=2, limits={"engines_per_trial": 2})
    search.go()
    search.engines.taken = {0, 1}
    search.go()
    assert search.engines.orders == []


def test_a_trial_that_crashes_on_three_engines_is_quarantined(tmp_path: Path) -> None:
    search = Search(tmp_path, engines=1, limits={"trials": 1})
    for engine in range(3):
        search.engines.here = [engine]
        search.go()
        assert search.book.trials[0].engines == (engine,)
        search.engines.here = [engine + 1]
        search.go()
        search.go(after_s=DEATH_S)
    assert search.states() == ["quarantined"]
    assert "[0, 1, 2]" in search.book.trials[0].why


@pytest.mark.parametrize("is_task", [True, False])
def test_an_objective_that_raises_fails_once_and_says_why(search: Search, is_task: bool) -> None:
    why = "ValueError: no"
    told = search.says(0, words.Returned, "failed", "", None, why)
    search.go(TaskFailed(0, 1, why) if is_task else told)
    search.go(after_s=DEATH_S)
    assert search.states()[0] == "failed"
    assert search.book.trials[0].why == why


def test_a_trial_without_a_value_fails_and_says_what_to_report(search: Search) -> None:
    search.go(search.says(0, words.Returned, "finished", "", None))
    assert search.states()[0] == "failed"
    assert "trial.report(step, loss=...)" in search.book.trials[0].why


def test_a_stop_names_trial_and_attempt_and_is_sent_once(search: Search) -> None:
    assert search.act(e.StopTrial(0)) == ""
    search.go(after_s=1)
    assert search.engines.orders == [words.Leave(0, 1, "stop")]
    search.go(search.says(0, words.Returned, "left", "stop"))
    assert search.states()[:2] == ["stopped", "running"]
    assert "StopTrial is for trials" in search.act(e.StopTrial(0))


def test_a_paused_trial_frees_its_engine_and_goes_on_from_its_checkpoint(search: Search) -> None:
    search.act(e.PauseTrial(0))
    assert search.engines.orders == [words.Leave(0, 1, "pause")]
    search.go(search.says(0, words.Saved, 2, "/c.keras"))
    search.go(search.says(0, words.Returned, "left", "pause"))
    assert search.states()[:3] == ["paused", "running", "running"]
    search.act(e.ResumeTrial(0))
    search.finish(1, 0.1)
    again = search.engines.tasks[-1]
    assert (again.trial, again.attempt, again.checkpoint) == (0, 2, "/c.keras")


def test_a_trial_is_given_back_though_the_driver_is_killed_while_it_does(
    search: Search, monkeypatch: pytest.MonkeyPatch
) -> None:
    _drive._give_back(search.keeper, search.folder, "old 1")
    assert search.states() == ["running", "running"]
    with monkeypatch.context() as killed:
        killed.setattr(search.keeper, "write", _is_killed)
        with pytest.raises(SystemExit):
            _drive._give_back(search.keeper, search.folder, "new 2")
    for _ in range(2):
        search.restart()
        _drive._give_back(search.keeper, search.folder, "new 2")
        assert search.states() == ["queued", "queued"]
    assert search.book.trials[0].crashed_on == set()
    search.go()
    assert [task.trial for task in search.engines.tasks] == [0, 1, 0, 1]


def _is_killed(event: e.AnySearchEvent) -> None:
    raise SystemExit


def test_a_search_whose_engines_are_taken_away_can_go_on_elsewhere(search: Search) -> None:
    search.go(search.says(0, words.Began), search.says(1, words.Began))
    search.go(search.says(0, words.Saved, 3, "trial-0.keras"))
    search.go(Vacated("v1", "job 7"))
    assert search.engines.answers == {"v1": ""}
    assert search.engines.orders == [words.Leave(0, 1, "pause"), words.Leave(1, 1, "pause")]
    for number in (0, 1):
        assert not search.conductor.is_over
        search.go(search.says(number, words.Returned, "left", "pause"))
    assert search.conductor.is_over
    assert search.book.ended is None
    assert len(search.engines.tasks) == 2
    search.restart()
    search.go()
    assert [task.trial for task in search.engines.tasks] == [0, 1, 0, 1]
    assert search.engines.tasks[2].checkpoint == "trial-0.keras"
    assert search.book.trials[0].crashes == 0


def test_a_stop_wins_over_a_pause(search: Search) -> None:
    search.act(e.PauseTrial(0))
    search.act(e.StopTrial(0))
    search.go(search.says(0, words.Returned, "left", "pause"))
    assert search.states()[0] == "stopped"


def test_a_hopeless_trial_is_told_once_and_ends_pruned(tmp_path: Path) -> None:
    search = Search(tmp_path, pruner="asha")
    search.go()
    search.go(search.says(0, words.Reports, 1, {"loss": 1.0}))
    search.go(search.says(1, words.Reports, 1, {"loss": 2.0}))
    assert search.engines.orders == [words.Leave(1, 1, "prune")]
    search.go(search.says(1, words.Reports, 2, {"loss": 3.0}))
    assert len(search.engines.orders) == 1
    search.go(search.says(1, words.Returned, "left", "prune"))
    assert search.book.trials[1].state == "pruned"
    assert search.book.trials[1].why == "hopeless at step 1"


def test_a_learning_rate_reaches_the_trial_and_its_next_attempt(search: Search) -> None:
    search.act(e.SetLearningRate(0, 1e-4))
    assert search.engines.orders == [words.SetRate(0, 1, 1e-4)]
    search.engines.here = [1, 2]
    search.go()
    search.go(after_s=DEATH_S)
    assert search.engines.tasks[-1].learning_rate == 1e-4


def test_an_action_that_comes_again_is_answered_again_and_done_once(search: Search) -> None:
    asked = Asked("same", "ada@here", e.Enqueue({"x": 0.5}))
    search.go(asked, asked)
    search.restart()
    search.go(asked)
    assert search.engines.answers == {"same": ""}
    assert sum(trial.origin == "person" for trial in search.book.trials) == 1


def test_a_promotion_gets_all_engines_and_gives_them_back(search: Search) -> None:
    search.go(search.says(0, words.Saved, 4, "/c.keras"))
    search.finish(0, 0.1)
    assert search.act(e.Promote(0, e.Promotion(epochs=3))) == ""
    promoted = search.book.trials[-1]
    for number in list(search.book.running):
        assert words.Leave(number, 1, "pause") in search.engines.orders
        search.go(search.says(number, words.Returned, "left", "pause"))
    task = search.engines.tasks[-1]
    assert (task.trial, task.engines) == (promoted.number, (0, 1))
    assert (task.checkpoint, task.is_own, task.begun, task.parent_engines) == (
        "/c.keras",
        False,
        4,
        1,
    )
    both = [
        Told(engine, words.Returned(promoted.number, 1, "finished", "", 0.01)) for engine in (0, 1)
    ]
    search.go(*both)
    assert promoted.state == "finished"
    assert [search.book.trials[n].state for n in (1, 2)] == ["running", "running"]


def test_a_warm_clone_begins_with_its_parent_s_checkpoint(search: Search) -> None:
    search.go(search.says(0, words.Saved, 4, "/c.keras"))
    search.act(e.Clone(0, {}, warm=True))
    search.finish(1, 0.1)
    task = search.engines.tasks[-1]
    assert (task.trial, task.checkpoint, task.is_own, task.begun) == (2, "/c.keras", False, 0)


def test_a_promotion_to_more_engines_than_the_cluster_has_is_refused(search: Search) -> None:
    refusal = search.act(e.Promote(0, e.Promotion(3), warm=False, engines=8))
    assert "1 to 2 engines of this cluster, but got engines=8" in refusal
    assert search.act(e.Promote(0, e.Promotion(3), warm=False, engines=2)) == ""


def test_a_group_ends_as_crashed_when_one_of_its_engines_dies(tmp_path: Path) -> None:
    search = Search(tmp_path, engines=4, limits={"engines_per_trial": 2, "trials": 2})
    search.go()
    search.engines.here = [1, 2, 3]
    search.go(Told(1, words.Returned(0, 1, "peer failed", why="rank 0 died")))
    search.go(after_s=DEATH_S)
    assert search.book.trials[0].crashed_on == {0}
    assert search.book.trials[1].state == "running"


def test_a_group_fails_with_the_error_of_the_rank_that_raised(tmp_path: Path) -> None:
    search = Search(tmp_path, engines=2, limits={"engines_per_trial": 2, "trials": 1})
    search.go()
    search.go(Told(0, words.Returned(0, 1, "peer failed", why="rank 1 raised")))
    assert search.states() == ["running"]
    search.go(Told(1, words.Returned(0, 1, "failed", why="ValueError: no")))
    assert search.book.trials[0].why == "ValueError: no"


def test_the_next_free_engine_starts_the_replacements_of_dead_ones(search: Search) -> None:
    search.engines.here = [1]
    search.go()
    search.go(after_s=DEATH_S)
    assert search.engines.sponsors == []  # the living one is busy
    tasks = len(search.engines.tasks)
    search.finish(1, 0.1)
    assert search.engines.sponsors == [1]
    assert len(search.engines.tasks) == tasks  # it is kept free
    search.engines.here, search.engines.mends = [1, 2], False
    search.go()
    assert {task.engines for task in search.engines.tasks[tasks:]} == {(1,), (2,)}
    assert search.engines.sponsors == [1]


def test_the_time_budget_stops_what_runs_and_ends_the_search(tmp_path: Path) -> None:
    search = Search(tmp_path, limits={"time_budget_s": 60.0, "trials": None})
    search.go()
    search.go(after_s=61)
    assert {order.trial for order in search.engines.orders} == {0, 1}
    for number in (0, 1):
        search.go(search.says(number, words.Returned, "left", "stop"))
    assert search.conductor.is_over
    assert "time budget" in search.book.trials[0].why


def test_a_time_budget_is_of_working_time(tmp_path: Path) -> None:
    search = Search(tmp_path, limits={"time_budget_s": 60.0, "trials": None})
    search.go()
    search.go(after_s=40)
    search.keeper.write(e.AtWork())
    search.now_s += 12 * 3600  # the cluster had ended
    search.keeper.write(e.AtWork(begins=True))
    search.restart()
    search.go(after_s=19)
    assert search.engines.orders == []
    search.go(after_s=1)
    assert {order.trial for order in search.engines.orders} == {0, 1}


def test_a_search_says_that_it_is_worked_on_when_nothing_else_is_to_be_said(
    search: Search,
) -> None:
    size = search.book.next_seq[e.DRIVER]
    search.go(after_s=QUIET_S - 1)
    assert search.book.next_seq[e.DRIVER] == size
    search.go(after_s=1)
    search.go(after_s=1)
    assert search.book.next_seq[e.DRIVER] == size + 1


def test_one_of_the_worst_goes_on_from_one_of_the_best(tmp_path: Path) -> None:
    options = {"every": 2, "fraction": 0.5}
    search = Search(tmp_path, pruner="population", pruner_options=options, limits={"trials": 2})
    search.go()
    search.go(search.says(0, words.Saved, 2, "/best.keras"))
    for step in (1, 2):
        search.go(search.says(0, words.Reports, step, {"loss": 0.1}))
        search.go(search.says(1, words.Reports, step, {"loss": 9.0}))
        assert len(search.engines.orders) == step - 1
    assert search.engines.orders == [words.Leave(1, 1, "prune")]
    search.go(search.says(1, words.Returned, "left", "prune"))
    ended, copy = search.book.trials[1:3]
    assert (ended.state, ended.why) == ("pruned", "gave way to a copy of trial 0 at step 2")
    assert (copy.origin, copy.parent) == ("exploit", 0)
    task = search.engines.tasks[-1]
    assert (task.trial, task.checkpoint, task.continues) == (2, "/best.keras", True)
    x = search.book.trials[0].params["x"]
    assert copy.params["x"] in (pytest.approx(0.8 * x), pytest.approx(min(1.0, 1.2 * x)))


def test_one_that_is_always_ahead_gives_way_to_a_better_one_behind(tmp_path: Path) -> None:
    options = {"every": 2, "fraction": 0.5}
    search = Search(tmp_path, pruner="population", pruner_options=options, limits={"trials": 2})
    search.go()
    search.go(search.says(1, words.Reports, 1, {"loss": 9.0}))
    search.go(search.says(0, words.Saved, 1, "/best.keras"))
    search.go(search.says(0, words.Reports, 1, {"loss": 0.1}))
    assert search.engines.orders == []
    search.go(search.says(1, words.Reports, 2, {"loss": 9.0}))
    assert search.engines.orders == [words.Leave(1, 1, "prune")]


def test_one_behind_is_not_judged_by_what_others_came_to_later(tmp_path: Path) -> None:
    options = {"every": 2, "fraction": 0.5}
    search = Search(tmp_path, pruner="population", pruner_options=options, limits={"trials": 2})
    search.go()
    search.go(search.says(0, words.Saved, 4, "/ahead.keras"))
    for step, loss in enumerate((5.0, 4.0, 3.0, 0.1), start=1):
        search.go(search.says(0, words.Reports, step, {"loss": loss}))
    for step in (1, 2):
        search.go(search.says(1, words.Reports, step, {"loss": 1.0}))
    assert search.engines.orders == []


def population_of(folder: Path, count: int, **options: Any) -> Search:
    """A population, each of whose trials has begun on an engine of its own."""
    search = Search(
        folder,
        engines=count,
        pruner="population",
        pruner_options={"fraction": 0.5, **options},
        limits={"trials": count},
    )
    search.go()
    search.go(*(search.says(number, words.Began) for number in range(count)))
    return search


def test_a_restarted_driver_judges_nobody_by_what_others_came_to_meanwhile(tmp_path: Path) -> None:
    search = population_of(tmp_path, 2)
    said = [
        search.says(0, words.Began),
        search.says(1, words.Began),
        search.says(1, words.Saved, 1, "/c.keras"),
        search.says(0, words.Reports, 1, {"loss": 9.0}),
        search.says(0, words.Reports, 2, {"loss": 0.1}),
        search.says(1, words.Reports, 1, {"loss": 1.0}),
    ]
    search.go(*said)
    size = search.book.next_seq[e.DRIVER]
    search.restart()
    search.go(*said)
    assert search.engines.orders == []
    assert search.book.next_seq[e.DRIVER] == size


def test_one_that_was_to_give_way_does_after_a_restart_whatever_it_reports_until_then(
    tmp_path: Path,
) -> None:
    search = population_of(tmp_path, 2, every=2)
    said = [
        search.says(0, words.Saved, 2, "/best.keras"),
        search.says(0, words.Reports, 2, {"loss": 0.1}),
        search.says(1, words.Reports, 2, {"loss": 9.0}),
        search.says(1, words.Reports, 3, {"loss": 0.01}),
    ]
    search.go(*said[:3])
    search.restart()
    search.go(*said)
    assert search.engines.orders == [words.Leave(1, 1, "prune")] * 2
    search.go(search.says(1, words.Returned, "left", "prune"))
    assert search.book.trials[1].why == "gave way to a copy of trial 0 at step 2"
    assert search.book.trials[2].parent == 0


def test_one_whose_engine_died_before_it_gave_way_is_judged_anew(tmp_path: Path) -> None:
    search = population_of(tmp_path, 2)
    search.go(search.says(0, words.Saved, 1, "/best.keras"))
    search.go(search.says(0, words.Reports, 1, {"loss": 0.1}))
    search.go(search.says(1, words.Reports, 1, {"loss": 9.0}))
    search.engines.here = [0, 2]
    search.go()
    search.go(after_s=DEATH_S)
    assert search.book.trials[1].engines == (2,)
    search.go(search.says(1, words.Reports, 2, {"loss": 0.01}))
    assert search.engines.orders == [words.Leave(1, 1, "prune")]


def test_a_promotion_gives_way_to_nobody(tmp_path: Path) -> None:
    search = population_of(tmp_path, 2)
    search.go(search.says(0, words.Saved, 1, "/best.keras"))
    search.go(search.says(0, words.Reports, 1, {"loss": 0.1}))
    search.finish(1, 9.0)
    search.act(e.Promote(1, e.Promotion(3), warm=False, engines=1))
    search.go(search.says(2, words.Reports, 1, {"loss": 9.0}))
    assert search.engines.orders == []


def test_a_restarted_driver_writes_no_checkpoint_again(search: Search) -> None:
    said = [search.says(0, words.Saved, step, "/c.keras") for step in (1, 2, 3)]
    search.go(*said)
    size = search.book.next_seq[e.DRIVER]
    search.restart()
    search.go(*said)
    assert search.book.next_seq[e.DRIVER] == size
    assert search.book.trials[0].checkpoint_step == 3


def test_a_search_that_has_ended_is_opened_again_and_its_time_is_no_matter(tmp_path: Path) -> None:
    search = Search(tmp_path, limits={"trials": 1, "time_budget_s": 60.0})
    search.go()
    search.finish(0, 0.1)
    assert search.conductor.is_over
    search.now_s += 1000
    search.keeper.write(e.Reopened())
    assert journal_outcome(tmp_path) is None
    search.restart()
    assert search.act(e.Enqueue({"x": 0.5})) == ""
    assert search.states() == ["finished", "running"]
    search.finish(1, 0.2)
    assert search.conductor.is_over
    assert journal_outcome(tmp_path) == "finished"


def journal_outcome(folder: Path) -> str | None:
    return journal.outcome(folder / "journal.jsonl")
