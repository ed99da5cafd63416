"""Studies: a projection that may be made again at any time."""

from __future__ import annotations

import math

import optuna
import pytest

from interactive_dl.errors import SearchError, UnknownNameError
from interactive_dl.search import events as e
from interactive_dl.search import samplers
from interactive_dl.search.book import Book
from interactive_dl.search.ranges import choice, integer, log_uniform, uniform
from interactive_dl.search.space import Space
from interactive_dl.search.study import Study, export

OPTIONS = {
    "tpe": {"startup": 4},
    "forest": {"startup": 4, "candidates": 200, "trees": 10},
    "genetic": {"population": 2, "demes": 2},
    "gp": {"startup": 10},  # each point takes a tenth of a second
    "cmaes": {"popsize": 4},
    "grid": {"levels": 3},
    "random": {},
}


def bowl(params: dict) -> float:
    """Best at lr=1e-3, dropout=0.2, adam."""
    loss = (math.log10(params["lr"]) + 3) ** 2 + (params["dropout"] - 0.2) ** 2
    return loss + (params["optimizer"] == "sgd")


def settings(sampler: str, trials: int = 14, **more: object) -> dict:
    return {
        "sampler": sampler,
        "sampler_options": OPTIONS[sampler],
        "limits": e.Limits(trials=trials),
        "seed": 5,
        **more,
    }


def params_of(game) -> list[dict]:
    return [dict(trial.params) for trial in game.book.trials]


@pytest.mark.parametrize("sampler", sorted(samplers.SAMPLERS))
def test_every_sampler_proposes_points_of_the_space(play, sampler):
    game = play(2, **settings(sampler))
    game.run(bowl)
    assert len(game.book.trials) == 14
    assert all(game.book.space.contains(params) for params in params_of(game))


@pytest.mark.parametrize("sampler", sorted(samplers.SAMPLERS))
def test_a_study_made_again_after_every_trial_proposes_the_same(play, sampler):
    one, other = play(2, **settings(sampler)), play(2, **settings(sampler))
    one.run(bowl)
    other.settle()
    while other.book.ended is None:
        other.study = Study.of(Book.of(other.journal))
        other.run(bowl, most=1)
    assert params_of(one) == params_of(other)


@pytest.mark.parametrize("sampler", ["tpe", "forest", "cmaes", "genetic"])
def test_samplers_that_learn_find_better_points_late_than_early(play, sampler):
    game = play(1, **settings(sampler, trials=40))
    game.run(bowl)
    losses = [trial.value for trial in game.book.trials]
    assert sorted(losses[-10:])[5] < sorted(losses[:10])[5]


def test_seeds_differ():
    seeds = {samplers.seed_of(search, trial) for search in range(9) for trial in range(99)}
    assert len(seeds) == 9 * 99


def test_random_points_do_not_depend_on_the_order_of_what_ends(play):
    one, other = play(4, **settings("random")), play(1, **settings("random"))
    one.run(bowl)
    other.run(lambda params: 1.0)
    assert params_of(one) == params_of(other)


def test_a_grid_is_every_point_once_whatever_people_add(play):
    space = Space.of(
        {
            "lr": choice(0.1, 0.01, 0.001),
            "optimizer": choice("adam", "sgd"),
            "momentum": uniform(0, 0.9).when(optimizer="sgd"),
        }
    )
    game = play(3, space=space, sampler="grid", sampler_options={"levels": 2}, limits=e.Limits())
    game.settle()
    game.act(e.Enqueue({"lr": 0.1, "optimizer": "adam"}))
    game.run(lambda params: params["lr"])
    asked = [str(dict(t.params)) for t in game.book.trials if t.origin == "sampler"]
    assert len(asked) == len(set(asked)) == 3 + 3 * 2
    assert len(game.book.trials) == 10


def test_a_grid_of_a_changed_range_goes_on_after_the_old_one_is_through(play):
    space = Space.of({"lr": choice(0.1, 0.01)})
    game = play(1, space=space, sampler="grid", limits=e.Limits())
    game.settle()
    game.end(0, "finished", 1.0)
    game.settle()
    assert game.book.trials[1].state == "running"
    game.act(e.SetRange("lr", choice(0.5)))
    game.run(lambda params: 0.0)
    assert [trial.params["lr"] for trial in game.book.trials] == [0.1, 0.01, 0.5]


@pytest.mark.parametrize("sampler", ["tpe", "gp", "forest", "cmaes", "genetic"])
def test_finished_trials_inform_the_sampler_after_a_range_was_changed(play, sampler):
    few = {"sampler_options": {"startup": 27}} if sampler == "gp" else {}
    game = play(1, **{**settings(sampler, trials=34), **few})
    game.settle()
    game.run(bowl, most=20)
    game.act(e.SetRange("lr", log_uniform(1e-4, 1e-2)))
    finished = game.study.projection.get_trials(states=(optuna.trial.TrialState.COMPLETE,))
    inside = [t for t in game.book.trials if t.is_over and 1e-4 <= t.params["lr"] <= 1e-2]
    assert len(finished) == len(inside) > 3
    game.run(bowl, most=10)
    assert all(1e-4 <= trial.params["lr"] <= 1e-2 for trial in game.book.trials[21:])
    game.act(e.SetRange("lr", log_uniform(1e-6, 1)))
    finished = game.study.projection.get_trials(states=(optuna.trial.TrialState.COMPLETE,))
    assert len(finished) == sum(trial.is_over for trial in game.book.trials) == 30
    for trial in finished:
        assert trial.distributions["lr"] == optuna.distributions.FloatDistribution(
            1e-6, 1, log=True
        )
    game.run(bowl)
    assert game.book.ended


def test_a_choice_may_lose_and_win_options(play):
    game = play(1, **settings("tpe", trials=20))
    game.settle()
    game.run(bowl, most=8)
    game.act(e.SetRange("optimizer", choice("adam", "lion")))
    game.run(bowl)
    assert {t.params["optimizer"] for t in game.book.trials[9:]} <= {"adam", "lion"}


def test_trials_that_run_outside_of_a_narrowed_range_end_in_peace(play):
    game = play(2, **settings("tpe", pruner="asha"))
    game.settle()
    lr = game.book.trials[0].params["lr"]
    game.act(e.SetRange("lr", log_uniform(lr * 1.1, 1)))
    game.report(0, 1, 0.5)
    game.end(0, "finished", 0.5)
    assert game.study.projection.trials[0].state is optuna.trial.TrialState.FAIL
    game.run(bowl)
    assert game.book.ended


def test_points_that_people_pick_inform_the_sampler(play):
    game = play(1, **settings("tpe", trials=3))
    game.settle()
    game.act(e.Enqueue({"lr": 1e-3, "dropout": 0.2, "optimizer": "adam"}, priority=1))
    game.run(bowl)
    picked = game.study.projection.best_trial
    assert picked.number == game.book.best == 1
    assert picked.params == {"lr": 1e-3, "dropout": 0.2, "optimizer": "adam"}


@pytest.mark.parametrize(
    ("pruner", "options"),
    [
        ("median", {"startup": 2}),
        ("percentile", {"startup": 2, "percentile": 25.0}),
        ("asha", {"reduction": 2}),
        ("hyperband", {"max_steps": 8, "reduction": 2}),
    ],
)
def test_pruners_end_the_hopeless_and_a_study_made_again_judges_alike(play, pruner, options):
    def begin():
        more = {"pruner": pruner, "pruner_options": options}
        return play(1, **settings("random", trials=24, **more))

    def train(game, again: bool) -> list[str]:
        game.settle()
        while game.book.running:
            (number,) = game.book.running
            for step in range(1, 9):
                if again:
                    game.study = Study.of(Book.of(game.journal))
                if game.report(
                    number, step, bowl(dict(game.book.trials[number].params)) + 1 / step
                ):
                    game.end(number, "pruned")
                    break
            else:
                game.end(number, "finished")
            game.settle()
        return [trial.state for trial in game.book.trials]

    states = train(begin(), again=False)
    assert 2 < states.count("pruned") < 24
    assert states == train(begin(), again=True)


def test_a_trial_that_diverges_is_hopeless_where_somebody_prunes(play):
    game = play(1, **settings("random", pruner="median"))
    game.settle()
    assert game.study.judge(0, 1, None).is_hopeless
    assert game.study.judge(0, 1, math.nan).is_hopeless
    lenient = play(1, **settings("random"))
    lenient.settle()
    assert not lenient.study.judge(0, 1, None).is_hopeless


def test_a_point_that_was_asked_for_is_created_next(play):
    game = play(1, **settings("random"))
    game.study.ask()
    with pytest.raises(SearchError, match="Study.of"):
        game.study.ask()


def test_a_search_is_exported_with_every_trial_whatever_the_ranges_are_now(play):
    game = play(2, **settings("tpe", pruner="asha", trials=10))
    game.settle()
    game.run(bowl, most=6)
    game.act(e.SetRange("lr", log_uniform(1e-4, 1e-3)))
    game.act(e.SetRange("optimizer", choice("lion")))
    game.act(e.SetRange("dropout", integer(1, 2)))
    game.run(bowl, most=2)
    storage = optuna.storages.InMemoryStorage()
    study = export(game.book, storage)
    assert [trial.user_attrs["state"] for trial in study.trials] == [
        trial.state for trial in game.book.trials
    ]
    assert study.best_trial.number == game.book.best
    with pytest.raises(SearchError, match="name="):
        export(game.book, storage)


@pytest.mark.parametrize(
    ("sampler", "options"),
    [
        ("forest", {"startup": 0}),
        ("forest", {"trees": 0}),
        ("genetic", {"demes": 0}),
        ("genetic", {"mutation": 2}),
        ("grid", {"levels": 0}),
        ("cmaes", {"popsize": 0}),
        ("tpe", {"candidates": 0}),
    ],
)
def test_options_of_samplers_that_make_no_sense_are_refused(sampler, options):
    (name,) = options
    with pytest.raises(SearchError, match=f"sampler '{sampler}' refuses .*{name}.* must hold"):
        samplers.make(sampler, Space.of({"x": uniform(0, 1)}), 0, options)


def test_unknown_names_are_answered_with_the_known_ones(play):
    with pytest.raises(UnknownNameError, match=r"cmaes, forest, .*tpe, but got 'bayes'"):
        play(sampler="bayes")
    with pytest.raises(UnknownNameError, match=r"asha, hyperband.*but got 'halve'"):
        play(pruner="halve")
    with pytest.raises(UnknownNameError, match=r"levels=5; but got size"):
        play(sampler="grid", sampler_options={"size": 3})
    with pytest.raises(SearchError, match="max_steps="):
        play(pruner="hyperband")
