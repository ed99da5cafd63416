"""A search that trains nothing, for tests and demonstrations of what shows searches."""

from __future__ import annotations

import bisect
import itertools
import math
import random
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from interactive_dl.errors import SearchError
from interactive_dl.search import events as e
from interactive_dl.search import planner
from interactive_dl.search.actions import answer
from interactive_dl.search.book import LIVE, Book
from interactive_dl.search.ranges import choice, integer, log_uniform, uniform
from interactive_dl.search.space import Space
from interactive_dl.telemetry.events import Ended, new_run_id

Callback = Callable[["FakeSearch", Sequence[e.Record]], None]

SPACE = Space.of(
    {
        "lr": log_uniform(1e-5, 1e-1),
        "optimizer": choice("adam", "sgd"),
        "momentum": uniform(0, 0.99).when(optimizer="sgd"),
        "dropout": uniform(0, 0.6),
        "layers": integer(1, 5),
        "batch_size": 64,
    }
)
_CHECKPOINT_STEPS = 3


@dataclass(frozen=True)
class SearchPlan:
    """What a ``FakeSearch`` pretends to be.

    Attributes:
        trials: how many the sampler makes.
        engines: on so many engines.
        steps: how many reports a trial makes, if it is not pruned.
        step_s: how long a step takes.
        space: what is searched.
        metric: that is minimized.
        crash_rate, failure_rate: how often a trial loses its engine, or fails.
        seed: of all draws.
    """

    trials: int | None = 64
    engines: int = 4
    steps: int = 27
    step_s: float = 0.05
    space: Space = SPACE
    metric: str = "val_loss"
    crash_rate: float = 0.02
    failure_rate: float = 0.02
    seed: int = 0


@dataclass(frozen=True)
class FakePending:
    """An action that was passed on.

    Attributes:
        id: of the action.
        event: its answer.
    """

    id: str
    event: e.Acted | e.ActionRefused

    def result(self, timeout_s: float | None = None) -> e.Acted:
        """The answer.

        Raises:
            SearchError: it was refused.
        """
        if isinstance(self.event, e.ActionRefused):
            raise SearchError(self.event.reason)
        return self.event


class FakeSearch:
    """Feeds real records into a real book, with a search's methods to steer it.

    ``with FakeSearch(SearchPlan(trials=9)) as search:`` runs in a thread; ``fill(1000)`` does so
    many trials at once; without either, nothing happens but what ``feed`` is told.
    """

    def __init__(self, plan: SearchPlan | None = None, *, name: str = "digits") -> None:
        self.plan = plan or SearchPlan()
        self.name = name
        self.id = new_run_id(name)
        self.book = Book()
        self.journal: list[e.Record] = []
        self._random = random.Random(self.plan.seed)
        self._ids = itertools.count(1)
        self._lock = threading.RLock()
        self._callbacks: list[Callback] = []
        self._judged: dict[int, list[float]] = {}
        self._now_s: float | None = None
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None

    # -- what a search has -------------------------------------------------------------------

    @property
    def state(self) -> str:
        """``starting``, ``running``, ``finished`` ..."""
        if self.book.ended is not None:
            return self.book.ended.outcome
        return "running" if self.book.began else "starting"

    def subscribe(self, callback: Callback) -> Callable[[], None]:
        """Have ``callback(search, records)`` called for whatever comes; gives what ends that."""
        self._callbacks.append(callback)
        return lambda: self._callbacks.remove(callback) if callback in self._callbacks else None

    def act(self, action: e.AnyAction, *, wait: bool = True, timeout_s: float = 30.0) -> Any:
        """Have an action carried out."""
        with self._lock:
            self._open_for(action)
            event = answer(self.book, f"a{next(self._ids)}", f"ada@{socket.gethostname()}", action)
            assert event is not None
            self.feed(event)
            self._settle()
        pending = FakePending(event.id, event)
        return pending.result(timeout_s) if wait else pending

    def _open_for(self, action: e.AnyAction) -> None:
        """A search that has ended goes on for a trial more."""
        if self.book.ended is None:
            return
        if not isinstance(action, e.SetTrials | e.Enqueue | e.Clone | e.Restart | e.Promote):
            raise SearchError(f"A search is steered while it runs, but {self.id} is {self.state}.")
        self.feed(e.Reopened())

    def importance(self) -> dict[str, float]:
        """How much each parameter matters: made up."""
        if len(self.book.bests) == 0:
            raise SearchError("Importance needs two finished trials or more.")
        names = [n for n, d in self.plan.space.dimensions.items() if len(d.levels(2)) > 1]
        shares = [2.0**-at for at in range(1, len(names) + 1)]
        return dict(zip(names, shares, strict=True))

    def output(self, trial: int) -> list[str]:
        """What a trial has printed."""
        reports = self.book.trial(trial).reports.items()
        return [f"step {step}: {dict(metrics)}" for step, metrics in reports]

    # -- what a fake has -----------------------------------------------------------------------

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def begin(self) -> Self:
        """Have the search begin, without a trial."""
        plan = self.plan
        self.feed(
            e.SearchBegan(
                self.name,
                plan.space,
                plan.metric,
                pruner="asha",
                limits=e.Limits(trials=plan.trials),
            )
        )
        return self

    def start(self) -> Self:
        """Go on, in a thread."""
        if self.book.began is None:
            self.begin()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="fake search", daemon=True)
            self._thread.start()
        return self

    def close(self) -> None:
        """End the thread, if it runs."""
        self._ending.set()
        if self._thread is not None:
            self._thread.join()

    def fill(self, trials: int, over_s: float = 500.0) -> Self:
        """Go on until so many trials are over, at once, as if it had taken so long."""
        with self._lock:
            self._now_s = time.time() - over_s
            tick_s = over_s * self.plan.engines / (trials * self.plan.steps)
            if self.book.began is None:
                self.begin()
            self._settle()
            while self._over() < trials and self.book.ended is None:
                self._now_s = min(self._now_s + tick_s, time.time())
                self.turn()
            self._now_s = None
        return self

    def feed(self, *happened: e.AnySearchEvent) -> None:
        """Have these events happen now."""
        now_s = time.time() if self._now_s is None else self._now_s
        with self._lock:
            first = len(self.journal)
            records = [
                e.Record(self.id, e.DRIVER, first + at, now_s, event)
                for at, event in enumerate(happened)
            ]
            for record in records:
                self.book.add(record)
            self.journal += records
        for callback in list(self._callbacks):
            callback(self, records)

    def turn(self) -> None:
        """Every running trial does a step; then what is due is done."""
        with self._lock:
            for number in sorted(self.book.running):
                self._step(number)
            self._settle()

    # -- how -----------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._ending.wait(self.plan.step_s) and self.book.ended is None:
            self.turn()

    def _over(self) -> int:
        return sum(n for state, n in self.book.count_by_state.items() if state not in LIVE)

    def _step(self, number: int) -> None:
        trial = self.book.trials[number]
        step = max(trial.reports, default=0) + 1
        chance = random.Random(f"{self.plan.seed} {number} {step} {len(trial.attempts)}")
        if chance.random() < self.plan.crash_rate / self.plan.steps:
            self.feed(e.TrialCrashed(number, trial.engines, "killed by SIGKILL"))
            return
        if chance.random() < self.plan.failure_rate / self.plan.steps:
            self.feed(e.TrialEnded(number, "failed", "ValueError: the loss is NaN"))
            return
        loss = _loss(dict(trial.params), step) + chance.gauss(0, 0.004)
        metrics = {self.plan.metric: loss, "val_accuracy": max(0.1, 1 - 0.6 * loss)}
        self.feed(e.Reported(number, step, metrics))
        if step % _CHECKPOINT_STEPS == 0:
            self.feed(e.TrialCheckpointed(number, step, f"trials/{number}.keras"))
        if step in (1, 3, 9) and self._is_hopeless(step, loss):
            self.feed(e.TrialEnded(number, "pruned", f"judged at step {step}"))
        elif step >= self.plan.steps:
            self.feed(e.TrialEnded(number, "finished"))

    def _is_hopeless(self, step: int, loss: float) -> bool:
        others = self._judged.setdefault(step, [])
        bisect.insort(others, loss)
        return len(others) >= 3 and loss > others[len(others) // 3]

    def _settle(self) -> None:
        if self.book.began is None:
            return
        living = set(range(self.plan.engines))
        while True:
            taken = {engine for engines in self.book.running.values() for engine in engines}
            now_s = time.time() if self._now_s is None else self._now_s
            decisions = planner.plan(self.book, living - taken, living, now_s)
            if not decisions:
                return
            for decision in decisions:
                self._carry_out(decision)

    def _carry_out(self, decision: planner.Decision) -> None:
        match decision:
            case planner.Start(trial=number, engines=engines):
                self.feed(e.TrialStarted(number, engines))
            case planner.Ask():
                params = self.book.space.sample(iter(self._random.random, None))
                self.feed(e.TrialCreated(len(self.book.trials), params))
            case planner.Create(event=event):
                self.feed(event)
            case planner.Stop(trial=number, why=why):
                self.feed(e.TrialEnded(number, "stopped", why))
            case planner.Pause(trial=number, for_trial=promotion):
                self.feed(e.TrialPaused(number, promotion))
            case planner.Resume(trial=number):
                self.feed(e.TrialResumed(number))
            case planner.End(trial=number, state=state, why=why):
                self.feed(e.TrialEnded(number, state, why))
            case planner.Finish(outcome=outcome, reason=reason):
                self.feed(Ended("stopped" if outcome == "stopped" else "finished", reason))


def _loss(params: dict[str, Any], step: int) -> float:
    """Best at a learning rate of 1e-3 with Adam, some dropout and three layers."""
    away = (math.log10(params["lr"]) + 3) ** 2 / 9 + (params["dropout"] - 0.25) ** 2
    away += 0.1 * abs(params["layers"] - 3) / 3 + 0.1 * (params["optimizer"] == "sgd")
    return 0.15 + 0.6 * away + 1.2 * math.exp(-step / (3 + 6 * away))
