"""Where a step's time goes on this rank: waiting for data, computing, waiting for the others.

Under synchronous training all ranks take equally long for a step; a slow rank shows in its own
computing time, and in the time that the others wait for it inside the allreduce.

    data wait        from the step's beginning until its batch is there
    compute          forward, backward, update: the rest of the step
    allreduce wait   from this rank's gradients being ready until the reduced ones are there
    other            between steps: callbacks, Keras's own bookkeeping

On TensorFlow the step is one compiled function, so the moments are taken by operations inside it,
between what they follow and what follows them; on torch by the running Python.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, wraps
from typing import Any

import numpy as np

from interactive_dl.engine import _horovod


@dataclass(frozen=True)
class Phases:
    """Seconds per step of this rank, means over ``steps`` steps."""

    steps: int
    data_wait_s: float
    compute_s: float
    allreduce_wait_s: float
    other_s: float

    @property
    def step_s(self) -> float:
        """All of a step."""
        return self.data_wait_s + self.compute_s + self.allreduce_wait_s + self.other_s


class PhaseClock(ABC):
    """Adds up moments of steps; the training's thread calls ``begin``, ``end`` and ``take``."""

    def __init__(self) -> None:
        self._base_s = time.time()
        self.restart()

    def restart(self) -> None:
        """Forget the steps so far."""
        self._steps = self._calls = 0
        self._begins_s = self._ends_s = self._between_s = 0.0
        self._last_end_s: float | None = None
        self._clear()

    def begin(self) -> None:
        """A step begins."""
        now_s = time.time()
        self._begins_s += now_s - self._base_s
        if self._last_end_s is not None:
            self._between_s += now_s - self._last_end_s

    def end(self, steps: int = 1) -> None:
        """One call of the compiled step has ended; it may have done several steps."""
        now_s = time.time()
        self._ends_s += now_s - self._base_s
        self._last_end_s = now_s
        self._calls += 1
        self._steps += steps

    @property
    @abstractmethod
    def arrived(self) -> int:
        """Batches that have come since the last ``restart``."""

    @abstractmethod
    def callbacks_done(self) -> None:
        """This package's callbacks have done their work after a step."""

    def take(self) -> Phases:
        """Means over the steps since the last call."""
        steps = max(1, self._steps)
        data_s, allreduce_s = self._waits()
        inside_s = self._ends_s - self._begins_s
        data_inside_s, data_between_s = self._split(data_s)
        compute_s = inside_s - data_inside_s - allreduce_s
        other_s = self._between_s - data_between_s
        taken = Phases(
            self._steps,
            *(max(0.0, value) / steps for value in (data_s, compute_s, allreduce_s, other_s)),
        )
        last_end_s = self._last_end_s
        self.restart()
        self._last_end_s = last_end_s
        return taken

    def timed(self, train_step: Callable[[Any], Any]) -> Callable[[Any], Any]:
        """A model's ``train_step`` that notes when its batch is there."""

        @wraps(train_step)
        def step(data: Any) -> Any:
            return train_step(self.data_arrived(data))

        return step

    @abstractmethod
    def data_arrived(self, data: Any) -> Any:
        """Part of the step: ``data``, a structure of tensors, is there; returns it."""

    @abstractmethod
    def gradients_ready(self, gradients: Sequence[Any]) -> tuple[list[Any], Any]:
        """Part of the step: this rank has its gradients; returns them and the moment."""

    @abstractmethod
    def reduced(self, gradients: Sequence[Any], ready: Any) -> list[Any]:
        """Part of the step: the reduced gradients are there, which were ``ready`` before; returns
        them.
        """

    @abstractmethod
    def _waits(self) -> tuple[float, float]:
        """Seconds spent waiting for data and in allreduces."""

    @abstractmethod
    def _split(self, data_s: float) -> tuple[float, float]:
        """How much of the waiting for data lies inside the steps, and how much between them."""

    @abstractmethod
    def _clear(self) -> None: ...


class _TensorFlowClock(PhaseClock):
    """Keras's compiled step fetches its batch itself.

    Of a call that does several steps only the time of the whole is known: waiting for data is then
    part of computing.
    """

    def __init__(self) -> None:
        import tensorflow as tf

        with tf.init_scope(), tf.device("CPU:0"):
            self._sums = tf.Variable(np.zeros(3), trainable=False, dtype="float64")
        super().__init__()

    def data_arrived(self, data: Any) -> Any:
        import tensorflow as tf

        tensors = [one for one in tf.nest.flatten(data) if tf.is_tensor(one)]
        with tf.control_dependencies(tensors):
            noted = self._note(tf.stack([tf.timestamp() - self._base_s, 0.0, 1.0]))
        return tf.nest.map_structure(lambda one: _after(noted, one), data)

    def gradients_ready(self, gradients: Sequence[Any]) -> tuple[list[Any], Any]:
        import tensorflow as tf

        with tf.control_dependencies(list(gradients)):
            ready = tf.timestamp()
        return [_after(ready, one) for one in gradients], ready

    def reduced(self, gradients: Sequence[Any], ready: Any) -> list[Any]:
        import tensorflow as tf

        with tf.control_dependencies(list(gradients)):
            noted = self._note(tf.stack([0.0, tf.timestamp() - ready, 0.0]))
        return [_after(noted, one) for one in gradients]

    def _note(self, seconds: Any) -> Any:
        return self._sums.assign_add(seconds, read_value=False)

    def _waits(self) -> tuple[float, float]:
        arrivals_s, allreduce_s, arrived = self._sums.numpy()
        # Without a single arrival (a step that was compiled elsewhere) nothing is known.
        is_known = arrived and self._steps == self._calls
        return (max(0.0, arrivals_s - self._begins_s) if is_known else 0.0), allreduce_s

    @property
    def arrived(self) -> int:
        return int(self._sums.numpy()[2])

    def callbacks_done(self) -> None:
        pass

    def _split(self, data_s: float) -> tuple[float, float]:
        return data_s, 0.0

    def _clear(self) -> None:
        self._sums.assign(np.zeros(3))


def _after(moment: Any, tensor: Any) -> Any:
    """``tensor``, for use after ``moment`` was taken.

    TensorFlow runs what is ready in any order, with one thread often the long operations first: a
    moment that nothing waits for would be taken at the step's end.
    """
    import tensorflow as tf

    if not tf.is_tensor(tensor):
        return tensor
    with tf.control_dependencies([moment]):
        return tf.identity(tensor)


class _TorchClock(PhaseClock):
    """Keras fetches a batch between two steps, where its callbacks run, too."""

    _idle_since_s: float | None

    def data_arrived(self, data: Any) -> Any:
        self._arrived += 1
        return data

    @property
    def arrived(self) -> int:
        return self._arrived

    def gradients_ready(self, gradients: Sequence[Any]) -> tuple[list[Any], Any]:
        return list(gradients), time.perf_counter()

    def reduced(self, gradients: Sequence[Any], ready: Any) -> list[Any]:
        self._allreduce_s += time.perf_counter() - ready
        return list(gradients)

    def callbacks_done(self) -> None:
        # What comes until the next step begins is Keras fetching its batch.
        self._idle_since_s = time.time()

    def begin(self) -> None:
        if self._idle_since_s is not None:
            self._data_s += time.time() - self._idle_since_s
        super().begin()

    def _waits(self) -> tuple[float, float]:
        return self._data_s, self._allreduce_s

    def _split(self, data_s: float) -> tuple[float, float]:
        return 0.0, data_s

    def _clear(self) -> None:
        self._arrived = 0
        self._allreduce_s = self._data_s = 0.0
        self._idle_since_s = None


_KINDS: dict[_horovod.Framework, type[PhaseClock]] = {
    "tensorflow": _TensorFlowClock,
    "torch": _TorchClock,
}


@cache
def clock() -> PhaseClock:
    """This process's clock, which every distributed optimizer's step moves."""
    return _KINDS[_horovod.keras_framework()]()
