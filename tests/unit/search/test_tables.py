"""Actions, populations and tables."""

from __future__ import annotations

import random

import pytest

from interactive_dl.errors import SearchError
from interactive_dl.search import events as e
from interactive_dl.search import frame, pruners
from interactive_dl.search.actions import answer
from interactive_dl.search.population import decide, explore
from interactive_dl.search.ranges import choice, fixed, integer, uniform
from interactive_dl.search.space import Space

ADAM = {"lr": 1e-3, "optimizer": "adam", "dropout": 0.1}


@pytest.fixture
def game(play):
    """Trial 0 runs, 1 waits."""
    game = play(1, limits=e.Limits(trials=0))
    for number in range(2):
        game.act(e.Enqueue(ADAM), id=f"e{number}")
        game.settle()
    return game


def test_every_action_says_what_was_before_and_after(game):
    acted = [
        game.act(action)
        for action in (
            e.SetTrials(9),
            e.SetConcurrency(2),
            e.SetTimeBudget(60),
            e.SetPriority(1, 4),
            e.SetRange("dropout", uniform(0, 0.3)),
            e.SetLearningRate(0, 0.5),
            e.StopTrial(1),
        )
    ]
    assert [(event.before, event.after) for event in acted] == [
        ("0", "9"),
        ("no end", "2"),
        ("no end", "60"),
        ("0", "4"),
        ("uniform(0.0, 0.6)", "uniform(0.0, 0.3)"),
        ("", "0.5"),
        ("queued", "stopped"),
    ]
    assert {event.who for _, event in game.book.actions} == {"ada@here"}


@pytest.mark.parametrize(
    ("action", "says"),
    [
        (e.StopTrial(7), "trials 0 to 1, but got 7"),
        (e.ResumeTrial(0), "paused, but trial 0 is running"),
        (e.SetLearningRate(1, 0.1), "running, but trial 1 is queued"),
        (e.SetLearningRate(0, -1.0), "above 0, but got -1.0"),
        (e.SetLearningRate(0, float("inf")), "finite"),
        (e.SetTrials(-1), "0 or more"),
        (e.SetRange("momentumm", uniform(0, 1)), "but got 'momentumm'"),
        (e.Enqueue({**ADAM, "lr": 3.0}), "search.set_range"),
        (e.Clone(0, {"momentum": 0.5}), r"without a place \['momentum'\]"),
        (e.Clone(0, {}, warm=True), "warm=False"),
    ],
)
def test_what_makes_no_sense_is_refused_and_changes_nothing(game, action, says):
    before = (game.book.limits, game.book.space, len(game.book.to_create))
    event = game.act(action)
    assert isinstance(event, e.ActionRefused)
    with pytest.raises(SearchError, match=says):
        raise SearchError(event.reason)
    assert (game.book.limits, game.book.space, len(game.book.to_create)) == before


def test_an_action_that_arrives_twice_is_carried_out_once(game):
    assert answer(game.book, "e0", "ada@here", e.Enqueue(ADAM)) is None
    assert len(game.book.trials) == 2


def test_a_clone_has_its_parent_s_parameters_but_for_the_edits(game):
    game.act(e.Clone(0, {"optimizer": "sgd", "momentum": 0.9}))
    game.settle()
    clone = game.book.trials[2]
    assert clone.params == {**ADAM, "optimizer": "sgd", "momentum": 0.9, "batch_size": 64}
    assert (clone.origin, clone.parent) == ("clone", 0)
    game.act(e.Clone(2, {"optimizer": "adam"}))
    game.settle()
    assert game.book.trials[3].params == {**ADAM, "batch_size": 64}


def test_a_restart_stops_the_trial_and_tries_its_point_anew(game):
    game.act(e.Restart(0))
    game.settle()
    assert game.book.trials[0].state == "stopped"
    assert (game.book.trials[2].params, game.book.trials[2].parent) == (
        game.book.trials[0].params,
        0,
    )


def test_a_paused_trial_frees_its_engine_and_waits_for_one_when_it_is_resumed(game):
    game.act(e.PauseTrial(0))
    game.settle()
    assert game.book.trials[0].state == "paused"
    assert list(game.book.running) == [1]
    game.act(e.ResumeTrial(0))
    game.settle()
    assert game.book.trials[0].state == "queued"


@pytest.fixture
def population(play):
    """Eight trials that stand at step 5, with loss = number; the best two have checkpoints."""
    game = play(8, limits=e.Limits(trials=8))
    game.settle()
    for number in range(8):
        game.report(number, 5, float(number))
        if number < 2:
            game.tell(e.TrialCheckpointed(number, 5, f"/c{number}"))
    return game


def test_the_worst_of_a_population_go_on_from_the_best_nearby(population):
    book = population.book
    chosen = [decide(book, number, 5, float(number), random.Random(1)) for number in range(8)]
    assert [found is not None for found in chosen] == [False] * 6 + [True] * 2
    for found in chosen[6:]:
        assert found.parent in (0, 1)
        assert book.space.contains(found.params)
        assert found.params != book.trials[found.parent].params
    assert decide(book, 7, 6, None, random.Random(1)) is None
    event = e.TrialCreated(8, found.params, "exploit", found.parent, warm=True)
    population.end(7, "stopped")
    population.create(event)
    (start,) = population.plan()
    assert start.trial == 8


def test_nobody_goes_on_from_where_there_is_no_checkpoint(play):
    game = play(8, limits=e.Limits(trials=8))
    game.settle()
    for number in range(8):
        game.report(number, 5, float(number))
    assert decide(game.book, 7, 5, 7.0, random.Random(1)) is None


def test_exploring_stays_within_the_space():
    space = Space.of(
        {
            "width": integer(4, 64, step=4),
            "dropout": uniform(0.1, 0.6),
            "optimizer": choice("adam", "sgd"),
            "momentum": uniform(0, 0.99).when(optimizer="sgd"),
            "seed": fixed(3),
        }
    )
    params = {"width": 64, "dropout": 0.1, "optimizer": "adam", "seed": 3}
    seen = [explore(space, params, random.Random(i)) for i in range(60)]
    assert all(space.contains(found) for found in seen)
    assert {found["width"] for found in seen} == {52, 64}
    assert {found["optimizer"] for found in seen} == {"adam", "sgd"}


def test_rungs_are_where_successive_halving_judges():
    assert pruners.rungs("asha", {"min_steps": 2, "reduction": 3}, 60) == [2, 6, 18, 54]
    assert pruners.rungs("median", {}, 60) == []


def test_a_search_is_a_table_with_a_row_a_trial(play):
    game = play(2, limits=e.Limits(trials=3))
    game.settle()
    game.report(0, 1, 0.5)
    game.report(0, 2, 0.75)
    game.now_s += 5
    game.end(0, "finished")
    table = frame.frame(game.book)
    assert list(table.index) == [0, 1]
    row = table.loc[0]
    assert (row.state, row.value, row["last"], row.best, row.steps) == (
        "finished",
        0.75,
        0.75,
        0.5,
        2,
    )
    assert (row.duration_s, row.param_batch_size) == (5.0, 64)
    curves = frame.curves(game.book)
    assert curves.values.tolist() == [[0, 1, 0.5], [0, 2, 0.75]]
    assert frame.best(game.book).number == 0


def test_an_empty_search_has_empty_tables_and_no_best(play):
    game = play()
    assert frame.frame(game.book).empty
    assert list(frame.curves(game.book).columns) == ["trial", "step"]
    with pytest.raises(SearchError, match="of 0 trials none has"):
        frame.best(game.book)
    with pytest.raises(SearchError, match="two finished trials"):
        frame.importance(game.book)


def test_the_parameter_that_matters_is_the_most_important(play):
    game = play(limits=e.Limits(trials=40))
    game.run(lambda params: params["dropout"] ** 2)
    found = frame.importance(game.book)
    assert next(iter(found)) == "dropout"
    assert found["dropout"] > 0.8
