"""A search without a cluster: what runs one does, on engines that are numbers."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from interactive_dl.search import events as e
from interactive_dl.search import planner
from interactive_dl.search.actions import answer
from interactive_dl.search.book import Book
from interactive_dl.search.ranges import choice, log_uniform, uniform
from interactive_dl.search.space import Space
from interactive_dl.search.study import Study

SPACE = Space.of(
    {
        "lr": log_uniform(1e-5, 1e-1),
        "optimizer": choice("adam", "sgd"),
        "momentum": uniform(0, 0.99).when(optimizer="sgd"),
        "dropout": uniform(0, 0.6),
        "batch_size": 64,
    }
)


class Play:
    """A search's journal, and the book and the study of it."""

    def __init__(self, began: e.SearchBegan, engines: int = 4) -> None:
        self.book, self.journal = Book(), list[e.Record]()
        self.living = set(range(engines))
        self.now_s = 1000.0
        self.tell(began)
        self.study = Study.of(self.book)

    def tell(self, event: e.AnySearchEvent) -> None:
        record = e.Record("s", e.DRIVER, len(self.journal), self.now_s, event)
        self.book.add(record)
        self.journal.append(record)

    def act(self, action: e.AnyAction, id: str = "") -> e.AnySearchEvent:
        event = answer(self.book, id or f"a{len(self.journal)}", "ada@here", action)
        assert event is not None
        self.tell(event)
        if not self.study.is_of(self.book):
            self.study = Study.of(self.book)
        return event

    def create(self, event: e.TrialCreated) -> None:
        self.tell(event)
        self.study.created(self.book.trials[-1])

    def end(self, number: int, state: e.EndState, value: float | None = None) -> None:
        self.tell(e.TrialEnded(number, state, value=value))
        self.study.ended(self.book.trials[number])

    def report(self, number: int, step: int, value: float) -> bool:
        """Whether the trial is hopeless."""
        verdict = self.study.judge(number, step, value)
        self.tell(e.Reported(number, step, {"loss": value}, verdict.notes))
        return verdict.is_hopeless

    def free(self) -> set[int]:
        return self.living - {x for taken in self.book.running.values() for x in taken}

    def plan(self) -> list[planner.Decision]:
        return planner.plan(self.book, self.free(), self.living, self.now_s)

    def carry_out(self, decision: planner.Decision) -> None:
        match decision:
            case planner.Start(trial=number, engines=engines):
                self.tell(e.TrialStarted(number, engines))
            case planner.Ask():
                point = self.study.ask()
                if point is None:
                    self.tell(e.SamplerExhausted())
                else:
                    number = len(self.book.trials)
                    self.create(e.TrialCreated(number, point.params, notes=point.notes))
            case planner.Create(event=event):
                self.create(event)
            case planner.Stop(trial=number):
                self.end(number, "stopped")
            case planner.Pause(trial=number):
                self.tell(e.TrialPaused(number))
            case planner.Resume(trial=number):
                self.tell(e.TrialResumed(number))
            case planner.End(trial=number, state=state):
                self.end(number, state)
            case planner.Finish(outcome=outcome):
                self.tell(e.Ended(outcome))

    def settle(self) -> None:
        """Carry out decisions until there are none."""
        while decisions := self.plan():
            for decision in decisions:
                self.carry_out(decision)

    def run(self, objective: Callable[[dict], float], most: int | None = None) -> None:
        """Finish every trial that runs, the oldest first, until the search has ended."""
        self.settle()
        while self.book.running and (most is None or most > 0):
            number = min(self.book.running)
            self.end(number, "finished", objective(dict(self.book.trials[number].params)))
            self.settle()
            most = None if most is None else most - 1


@pytest.fixture(scope="session")
def play() -> Callable[..., Play]:
    def begin(engines: int = 4, **options: object) -> Play:
        defaults: dict = {"space": SPACE, "metric": "loss", "limits": e.Limits(trials=12)}
        return Play(e.SearchBegan("digits", **{**defaults, **options}), engines)

    return begin
