"""Plans: what is started, stopped and given up next."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interactive_dl.search import events as e
from interactive_dl.search.book import Book
from interactive_dl.search.planner import (
    Ask,
    Create,
    End,
    Finish,
    Pause,
    Resume,
    Start,
    Stop,
    plan,
)
from interactive_dl.search.ranges import uniform
from interactive_dl.search.space import Space

SPACE = Space.of({"x": uniform(0, 1)})


def book_of(*events: e.AnySearchEvent, **limits: object) -> Book:
    began = e.SearchBegan("s", SPACE, "loss", limits=e.Limits(**{"trials": 0, **limits}))
    return Book.of(
        e.Record("s", e.DRIVER, i, float(i), event) for i, event in enumerate([began, *events])
    )


def created(*numbers: int, **more: object) -> list[e.TrialCreated]:
    return [e.TrialCreated(number, {"x": 0.5}, **more) for number in numbers]


def decide(book: Book, free: set[int], living: set[int] | None = None, now_s: float = 9.0):
    return plan(book, free, free if living is None else living, now_s)


def test_a_new_search_asks_for_one_point_at_a_time():
    assert decide(book_of(trials=5), {0, 1}) == [Ask()]


def test_waiting_trials_start_by_priority_then_age():
    book = book_of(*created(0, 1), *created(2, priority=1))
    assert decide(book, {4, 5}) == [Start(2, (4,)), Start(0, (5,))]


def test_a_changed_priority_counts_at_once():
    book = book_of(*created(0, 1), e.Acted("a", "ada", e.SetPriority(1, 5)))
    assert decide(book, {4}) == [Start(1, (4,))]


def test_the_sampler_is_asked_as_often_as_the_limit_says_people_s_trials_not_counted():
    asked, picked = created(0, 1), created(2, origin="person")
    started = [e.TrialStarted(n, (n,)) for n in range(3)]
    assert Ask() in decide(book_of(*asked, *picked, *started, trials=3), {9}, {0, 1, 2, 9})
    assert decide(book_of(*asked, *picked, *started, trials=2), {9}, {0, 1, 2, 9}) == []


def test_concurrency_holds_back_engines_that_are_free():
    book = book_of(*created(0, 1, 2), concurrency=2, trials=9)
    assert decide(book, {0, 1, 2}) == [Start(0, (0,)), Start(1, (1,))]


def test_lower_concurrency_lets_what_runs_go_on():
    started = [e.TrialStarted(n, (n,)) for n in range(2)]
    act = e.Acted("a", "ada", e.SetConcurrency(1))
    assert decide(book_of(*created(0, 1, 2), *started, act), {2}, {0, 1, 2}) == []


def test_a_trial_of_several_engines_is_not_overtaken_on_engines_that_it_waits_for():
    book = book_of(*created(0, needs=3), *created(1))
    assert decide(book, {0, 1}, {0, 1, 2}) == []
    assert decide(book, {0, 1, 2, 3}) == [Start(0, (0, 1, 2)), Start(1, (3,))]


def test_a_trial_that_needs_more_engines_than_live_holds_up_nobody():
    book = book_of(*created(0, needs=3), *created(1))
    assert decide(book, {0, 1}) == [Start(1, (0,))]


def test_a_promotion_clears_the_engines_that_it_needs():
    promoted = e.TrialCreated(1, {"x": 0.5}, "promotion", 0, needs=2, promotion=e.Promotion(1))
    book = book_of(*created(0), e.TrialStarted(0, (0,)), promoted, trials=9)
    assert decide(book, {1}, {0, 1}) == [Pause(0, 1)]


def test_nobody_gives_way_to_a_promotion_that_needs_more_engines_than_live():
    promoted = e.TrialCreated(1, {"x": 0.5}, "promotion", 0, needs=2, promotion=e.Promotion(1))
    running = book_of(*created(0), e.TrialStarted(0, (0,)), promoted, trials=9)
    assert decide(running, set(), {0}) == []
    over = book_of(
        *created(0), e.TrialStarted(0, (0,)), promoted, e.TrialEnded(0, "finished"), trials=9
    )
    assert decide(over, {0}) == [Ask()]


def test_who_gave_way_to_a_promotion_goes_on_where_that_cannot_start_any_more():
    promoted = e.TrialCreated(1, {"x": 0.5}, "promotion", 0, needs=2, promotion=e.Promotion(1))
    gave_way = [e.TrialStarted(0, (0,)), promoted, e.TrialPaused(0, for_trial=1)]
    book = book_of(*created(0), *gave_way)
    assert decide(book, {0, 1}) == [Start(1, (0, 1))]
    assert decide(book, {0}) == [Resume(0)]


def crashed(number: int, *engines: int) -> list[e.AnySearchEvent]:
    return [
        event
        for engine in engines
        for event in (e.TrialStarted(number, (engine,)), e.TrialCrashed(number, (engine,)))
    ]


def test_a_trial_that_crashed_goes_elsewhere():
    assert decide(book_of(*created(0), *crashed(0, 0)), {0, 1}) == [Start(0, (1,))]


def test_it_waits_for_an_engine_that_it_has_not_crashed_on_while_others_use_that_one():
    book = book_of(*created(0), *crashed(0, 0), *created(1))
    assert decide(book, {0}, {0, 1}) == [Start(1, (0,))]
    assert decide(book, {1}, {0, 1}) == [Start(0, (1,))]


def test_where_no_other_engine_lives_it_is_tried_again_there_but_not_for_ever():
    book = book_of(*created(0), *crashed(0, 0))
    assert decide(book, {0}) == [Start(0, (0,))]
    (end,) = decide(book_of(*created(0), *crashed(0, *[0] * 6)), {0})
    assert end == End(0, "quarantined", "crashed 6 times, on engines [0]")


def test_three_engines_make_a_trial_poisonous():
    assert decide(book_of(*created(0), *crashed(0, 0, 1)), {2}, {0, 1, 2}) == [Start(0, (2,))]
    (end,) = decide(book_of(*created(0), *crashed(0, 0, 1, 2)), {0, 1, 2, 3})
    assert end == End(0, "quarantined", "crashed on 3 engines: [0, 1, 2]")


def test_an_engine_that_went_for_its_own_reason_is_not_held_against_the_trial():
    gone = [e.TrialStarted(0, (0,)), e.TrialCrashed(0, (0,), is_blamed=False)] * 9
    assert decide(book_of(*created(0), *gone), {0}) == [Start(0, (0,))]


def test_people_s_wishes_are_granted():
    events = [
        *created(0, 1, 2, 3),
        e.TrialStarted(0, (0,)),
        e.TrialStarted(1, (1,)),
        e.TrialPaused(3),
        e.Acted("a", "ada", e.StopTrial(0)),
        e.Acted("b", "ada", e.PauseTrial(1)),
        e.Acted("c", "ada", e.StopTrial(2)),
        e.Acted("d", "ada", e.ResumeTrial(3)),
    ]
    assert decide(book_of(*events), {2}, {0, 1, 2}) == [
        Stop(0, "stopped by hand"),
        Pause(1),
        End(2, "stopped", "stopped by hand"),
        Resume(3),
    ]


def test_what_somebody_asked_for_is_created_once():
    book = book_of(e.Acted("a", "ada", e.Enqueue({"x": 0.25}, priority=3)))
    (create,) = decide(book, {0})
    assert create == Create(e.TrialCreated(0, {"x": 0.25}, "person", priority=3, action="a"))
    book.add(e.Record("s", e.DRIVER, 2, 2.0, create.event))
    assert decide(book, {0}) == [Start(0, (0,))]


def test_a_spent_time_budget_stops_all_and_ends_the_search():
    events = [*created(0, 1, 2), e.TrialStarted(0, (0,)), e.TrialPaused(2)]
    book = book_of(*events, time_budget_s=60, trials=9)
    assert decide(book, {1}, {0, 1}, now_s=59) == [Start(1, (1,))]
    why = "the time budget of 60 s is spent"
    assert decide(book, {1}, {0, 1}, now_s=60) == [
        Stop(0, why),
        End(1, "stopped", why),
        End(2, "stopped", why),
    ]
    assert decide(book_of(time_budget_s=60), set(), now_s=60) == [Finish("finished", why)]


def test_a_stopped_search_ends_stopped():
    book = book_of(e.Acted("a", "ada", e.StopSearch()), trials=9)
    assert decide(book, {0}) == [Finish("stopped", "the search was stopped")]


def test_a_paused_trial_keeps_the_search_open():
    assert decide(book_of(*created(0), e.TrialPaused(0)), {0}) == []


@settings(max_examples=80)
@given(
    seed=st.integers(0, 2**32),
    engines=st.integers(1, 6),
    k=st.integers(1, 3),
    concurrency=st.none() | st.integers(1, 4),
)
def test_whatever_happens_no_engine_is_used_twice_and_every_trial_ends(
    play, seed, engines, k, concurrency
):
    chance = random.Random(seed)
    limits = e.Limits(trials=8, concurrency=concurrency, engines_per_trial=min(k, engines))
    game = play(engines, limits=limits, seed=seed)
    for turn in range(600):
        free, decisions = game.free(), game.plan()
        starts = [d for d in decisions if isinstance(d, Start)]
        used = [engine for start in starts for engine in start.engines]
        assert len(used) == len(set(used))
        assert set(used) <= free
        assert len({start.trial for start in starts}) == len(starts)
        if starts and concurrency is not None:
            assert len(game.book.running) + len(starts) <= concurrency
        for decision in decisions:
            game.carry_out(decision)
        if game.book.ended:
            break
        if turn < 60 and chance.random() < 0.4:
            disturb(game, chance)
        elif not decisions and game.book.running:
            game.end(chance.choice(sorted(game.book.running)), "finished", chance.random())
        elif not decisions:
            for number in sorted(game.book.paused):
                game.act(e.ResumeTrial(number))
    assert game.book.ended is not None
    assert all(trial.is_over for trial in game.book.trials)
    assert sum(trial.origin == "sampler" for trial in game.book.trials) == 8


def disturb(game, chance: random.Random) -> None:
    """What people and engines do to a search; actions may be refused."""
    number = chance.randrange(len(game.book.trials) + 1)
    running = sorted(game.book.running)
    if running and chance.random() < 0.5:
        victim = chance.choice(running)
        game.tell(e.TrialCrashed(victim, (chance.choice(game.book.running[victim]),)))
        return
    game.act(
        chance.choice(
            [
                e.StopTrial(number),
                e.PauseTrial(number),
                e.ResumeTrial(number),
                e.Restart(number),
                e.SetPriority(number, chance.randrange(3)),
                e.Clone(number, {"dropout": 0.1}),
            ]
        )
    )


@pytest.mark.parametrize("engines", [1, 4])
def test_an_undisturbed_search_ends_with_all_of_its_trials(play, engines):
    game = play(engines)
    game.run(lambda params: params["dropout"])
    assert game.book.ended == e.Ended("finished")
    assert game.book.count_by_state["finished"] == 12
