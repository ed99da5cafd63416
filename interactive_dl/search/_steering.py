"""All that a person can ask of a search, by name."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

from interactive_dl.errors import ActionRefusedError
from interactive_dl.search import events
from interactive_dl.search.book import Book, Trial
from interactive_dl.search.events import AnyAction
from interactive_dl.search.ranges import AnyDimension, Value

TIMEOUT_S = 30.0


class Steering:
    """Actions of ``Search``; each takes ``wait`` and ``timeout_s``, and returns as ``act``."""

    @property
    @abstractmethod
    def book(self) -> Book:
        """All that was told so far."""

    @abstractmethod
    def act(self, action: AnyAction, *, wait: bool = True, timeout_s: float = TIMEOUT_S) -> Any:
        """Ask the search for something."""

    def stop(self, **waiting: Any) -> Any:
        """Start nothing more, stop every trial, and end. See ``act``."""
        return self.act(events.StopSearch(), **waiting)

    def stop_trial(self, trial: int, **waiting: Any) -> Any:
        """End a trial. See ``act``."""
        return self.act(events.StopTrial(trial), **waiting)

    def pause_trial(self, trial: int, **waiting: Any) -> Any:
        """Take a trial off its engines, after a checkpoint. See ``act``."""
        return self.act(events.PauseTrial(trial), **waiting)

    def resume_trial(self, trial: int, **waiting: Any) -> Any:
        """Let a paused trial go on. See ``act``."""
        return self.act(events.ResumeTrial(trial), **waiting)

    def restart_trial(self, trial: int, **waiting: Any) -> Any:
        """Try a trial's point anew; one that has not ended is stopped. See ``act``."""
        return self.act(events.Restart(trial), **waiting)

    def clone(self, trial: int, *, warm: bool = False, **edits: Value) -> Any:
        """Try a trial's point with some parameters edited. See ``act``.

        Args:
            trial: to clone.
            warm: whether to begin with its weights.
            edits: new values by parameter.
        """
        return self.act(events.Clone(trial, dict(edits), warm))

    def enqueue(self, params: Mapping[str, Value], *, priority: int = 0, **waiting: Any) -> Any:
        """Try a point of one's own. See ``act``."""
        return self.act(events.Enqueue(dict(params), priority), **waiting)

    def set_learning_rate(self, trial: int, learning_rate: float, **waiting: Any) -> Any:
        """Change a running trial's learning rate. See ``act``."""
        return self.act(events.SetLearningRate(trial, learning_rate), **waiting)

    def prioritise(self, trial: int, priority: int, **waiting: Any) -> Any:
        """Let a waiting trial start earlier (higher) or later. See ``act``."""
        return self.act(events.SetPriority(trial, priority), **waiting)

    def set_trials(self, trials: int | None, **waiting: Any) -> Any:
        """Let the sampler make so many in all; None for no end. See ``act``."""
        return self.act(events.SetTrials(trials), **waiting)

    def set_concurrency(self, concurrency: int | None, **waiting: Any) -> Any:
        """Let so many run at once; those that run go on. See ``act``."""
        return self.act(events.SetConcurrency(concurrency), **waiting)

    def set_time_budget(self, seconds: float | None, **waiting: Any) -> Any:
        """Let it end after so many seconds of work in all; None for no end. See ``act``."""
        return self.act(events.SetTimeBudget(seconds), **waiting)

    def set_range(self, parameter: str, dimension: AnyDimension, **waiting: Any) -> Any:
        """Narrow or extend a parameter's range; finished trials still count. See ``act``."""
        return self.act(events.SetRange(parameter, dimension), **waiting)

    def promote(
        self,
        trial: int | Trial,
        epochs: int,
        *,
        warm: bool = True,
        rule: str = "linear",
        warmup_epochs: float = 1.0,
        engines: int | None = None,
        **waiting: Any,
    ) -> Any:
        """Train a trial's model on all engines; the others wait until that is over. See ``act``.

        Args:
            trial: to promote.
            epochs: to train, on top of the trial's own where it begins with those.
            warm: whether to go on from its weights and optimizer state.
            rule: how the learning rate follows the number of engines: ``linear``, ``sqrt``,
                ``none``.
            warmup_epochs: over which it gets there.
            engines: how many; None for all.
        """
        number = trial if isinstance(trial, int) else trial.number
        how = events.Promotion(epochs, rule, warmup_epochs)  # type: ignore[arg-type]
        return self.act(events.Promote(number, how, warm, engines), **waiting)

    def demote(self, **waiting: Any) -> Any:
        """End what was promoted, after a checkpoint, and go back to searching. See ``act``.

        Raises:
            ActionRefusedError: nothing is promoted.
        """
        book = self.book
        live = [t.number for t in book.trials if t.promotion is not None and not t.is_over]
        if not live:
            raise ActionRefusedError("Nothing is promoted. See search.promote(trial, epochs=...).")
        return self.act(events.StopTrial(live[0]), **waiting)
