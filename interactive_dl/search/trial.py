"""What an objective gets on an engine: its parameters, and the way to tell and to hear."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interactive_dl.errors import SearchError
from interactive_dl.search import words
from interactive_dl.search.ranges import Value

if TYPE_CHECKING:
    import keras

    from interactive_dl.engine import Group


class Trial:
    """One try of a point, on one engine or on a group of them; the objective runs on each of these.

    def objective(trial):
        model = build(**trial.params)
        model.compile(trial.distribute(keras.optimizers.Adam(trial.params["lr"])), "mse")
        model.fit(x, y, epochs=trial.epochs(8), callbacks=trial.callbacks())

    Args:
        task: what to try.
        tell: takes what is to be told of it.

    Attributes:
        number: of the trial, from 0.
        attempt: counts from 1; another than the first goes on after a pause or a crash.
        params: by name.
        seed: for random numbers of its own, another for each trial.
        has_reported: whether it has.
        has_heeded: whether the objective knows that it is to return.
    """

    def __init__(self, task: words.Task, tell: Callable[[words.Word], None]) -> None:
        self.number = task.trial
        self.attempt = task.attempt
        self.params: Mapping[str, Value] = task.params
        self.seed = task.seed
        self.has_reported = False
        self.has_heeded = False
        self._task = task
        self._tell = tell
        self._group: Group | None = None
        self._orders: list[words.AnyOrder] = []
        self._reason: words.Reason = ""
        self._is_training = False
        self._lock = threading.Lock()
        self._left = threading.Event()

    def __repr__(self) -> str:
        return f"<Trial {self.number}: {dict(self.params)}>"

    @property
    def folder(self) -> Path:
        """For files of its own; it is there on every attempt."""
        folder = Path(self._task.folder)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    # -- telling ----------------------------------------------------------------------------------

    def report(self, step: int, **metrics: float) -> None:
        """Tell how it stands; the pruner judges by this.

        On several engines all may call it, and the first one's is told.

        Args:
            step: of the trial's own counting, such as the epoch, from 1.
            metrics: plain numbers by name; the search's metric among them, or it is not judged.

        Raises:
            SearchError: a step that is no whole number, or a value that is no number.
        """
        if not isinstance(step, int) or isinstance(step, bool) or step < 0:
            raise SearchError(f"A step is a whole number from 0 on, but got report({step!r}, ...).")
        numbers = {name: _number(name, value) for name, value in metrics.items()}
        self.has_reported = True
        self._say(words.Reports(self.number, self.attempt, step, numbers))

    @property
    def should_stop(self) -> bool:
        """Whether the objective is to return: somebody stopped or paused it, or it is hopeless.

        On several engines all must ask it at the same place: they agree on the answer.
        """
        is_to_leave = self._left.is_set()
        if self._group is not None and self._group.size > 1:
            is_to_leave = bool(self._group.broadcast(is_to_leave))
        self.has_heeded |= is_to_leave
        return is_to_leave

    # -- training ---------------------------------------------------------------------------------

    @property
    def group(self) -> Group:
        """The engines that try it together; forms their group (``engine.init``) when first asked.

        On several engines all must ask for it.
        """
        if self._group is None:
            from interactive_dl import engine

            self._group = engine.init(self.seed, engines=self._task.engines)
        return self._group

    def distribute(
        self, optimizer: keras.optimizers.Optimizer | str, **options: Any
    ) -> keras.optimizers.Optimizer:
        """``engine.distribute`` in the trial's group, so that any number of engines can try it."""
        from interactive_dl import engine

        self.form_group()
        return engine.distribute(optimizer, **options)

    def epochs(self, default: int) -> int:
        """How many epochs to train: ``default``, or what a promotion says.

        One that goes on from its parent's epochs adds its own to them.
        """
        if self._task.promotion is None:
            return default
        return self._task.begun + self._task.promotion.epochs

    @property
    def checkpoint(self) -> Path | None:
        """The Keras checkpoint to go on from; None to begin anew.

        ``callbacks`` sees to it; this is for objectives with loops of their own.
        """
        return Path(self._task.checkpoint) if self._task.checkpoint else None

    def callbacks(self, **options: Any) -> list[keras.callbacks.Callback]:
        """``engine.callbacks`` for this trial: its own run, its checkpoint, its reports, its end.

        Every epoch's metrics are reported with the number of finished epochs for a step. Another
        attempt goes on from the checkpoint; so does a promotion from its parent's. A warm clone
        begins with its parent's weights.

        Args:
            options: as of ``engine.callbacks``.
        """
        from interactive_dl.search import _training

        return _training.callbacks(self, self._task, self.group, options)

    # -- for the worker ---------------------------------------------------------------------------

    def hear(self, order: words.AnyOrder) -> None:
        """Take an order, in another thread than the objective's."""
        with self._lock:
            if isinstance(order, words.Leave):
                self._reason = self._reason or order.reason
            self._orders.append(order)
        if isinstance(order, words.Leave):
            self._left.set()

    def take_orders(self) -> list[words.AnyOrder]:
        """Orders that have come since the last call."""
        with self._lock:
            taken, self._orders = self._orders, []
        self.has_heeded |= any(isinstance(order, words.Leave) for order in taken)
        return taken

    @property
    def reason(self) -> words.Reason:
        """Why it is to leave; empty while it is not."""
        return self._reason

    @property
    def is_in_group(self) -> bool:
        """Whether other engines try it, too."""
        return len(self._task.engines) > 1

    @property
    def is_training(self) -> bool:
        """Whether a ``fit`` with its callbacks runs, which obeys by itself."""
        return self._is_training

    def begins_training(self) -> None:
        """A ``fit`` begins."""
        self._is_training = True

    def ends_training(self) -> None:
        """It is over."""
        self._is_training = False

    def saved(self, step: int, path: Path) -> None:
        """Tell that it can go on from a file."""
        self._say(words.Saved(self.number, self.attempt, step, str(path)))

    def opened_run(self, run: str) -> None:
        """Tell of its run."""
        self._say(words.OpenedRun(self.number, self.attempt, run))

    def _say(self, word: words.Word) -> None:
        if self._group is None or self._group.rank == 0:
            self._tell(word)

    def form_group(self) -> None:
        """Form the group, unless it is formed already."""
        _ = self.group


def _number(name: str, value: Any) -> float | int | None:
    plain = value.item() if hasattr(value, "item") else value
    if isinstance(plain, float) and not math.isfinite(plain):
        return None
    if plain is None or (isinstance(plain, int | float) and not isinstance(plain, bool)):
        return plain
    raise SearchError(
        f"A report has plain numbers, but {name}={value!r} is of type {type(value).__name__}."
    )
