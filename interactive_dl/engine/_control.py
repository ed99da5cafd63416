"""The control word: a few flags that all ranks learn of through the step's own reduction.

A flag that ranks read separately would reach some of them before a step and others after it; they
would part, and the next allreduce would wait for ever. So every rank adds its flags to the
gradients that are being reduced anyway: after the step all ranks have the same sums, and act on
them alike. It costs no message of its own.

What a flag is about (the commands themselves) follows in a collective of its own, which only the
ranks of a step with a raised flag enter: all of them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from enum import IntFlag
from functools import cache
from typing import Any

import numpy as np

from interactive_dl.engine import _horovod


class Flag(IntFlag):
    """What a rank may have to say between two steps.

    ``COMMAND``: rank 0 has commands from outside. ``INTERRUPT``: this rank got SIGINT. ``REPORT``:
    rank 0 wants everybody's times and metrics.
    """

    COMMAND = 1
    INTERRUPT = 2
    REPORT = 4


NOTHING = Flag(0)
FLAGS: tuple[Flag, ...] = tuple(Flag)
# Averaged in half precision, one rank of many thousands would still leave more than this.
_RAISED = 1e-6


class ControlWord(ABC):
    """One number for each flag, float32, shape (3,): 1 where it is raised, 0 elsewhere.

    The training's thread calls ``load`` before a step and ``take`` after it; ``send`` and
    ``receive`` are part of the step, compiled or not. ``raise_flag`` may be called at any time by
    the same thread, by a signal's handler too.

    Attributes:
        is_reduced: whether a step has carried the word since ``forget``.
    """

    def __init__(self) -> None:
        self._wanted = NOTHING
        self._loaded = NOTHING

    def raise_flag(self, flag: Flag) -> None:
        """Have all ranks see ``flag`` after the next step."""
        self._wanted |= flag

    @property
    def wanted(self) -> Flag:
        """Flags that were raised here and that no step has carried yet."""
        return self._wanted

    def load(self) -> None:
        """Let the coming step carry the flags that are raised now."""
        if self._wanted != self._loaded:
            self._loaded = self._wanted
            self._write(_as_numbers(self._loaded))

    def take(self) -> Flag:
        """The flags that any rank had raised before the last step; they are done with."""
        sums = self._read()
        found = NOTHING
        for flag, value in zip(FLAGS, sums, strict=True):
            if value > _RAISED:
                found |= flag
        if found:
            self.settle(found & self._loaded)
            self._clear()
        return found

    def settle(self, flags: Flag) -> None:
        """Take back flags of this rank that all ranks know of."""
        self._wanted &= ~flags

    def forget(self) -> None:
        """Begin anew: no flag is raised."""
        self._wanted = NOTHING
        self.load()
        self._clear()

    @abstractmethod
    def send(self) -> Any:
        """The tensor to reduce: float32, shape (3,)."""

    @abstractmethod
    def receive(self, reduced: Any) -> None:
        """Keep the reduced tensor, sum or mean over the ranks."""

    @abstractmethod
    def _write(self, numbers: np.ndarray) -> None: ...

    @abstractmethod
    def _read(self) -> np.ndarray: ...

    @abstractmethod
    def _clear(self) -> None: ...


class _TensorFlowWord(ControlWord):
    def __init__(self) -> None:
        super().__init__()
        import tensorflow as tf

        with tf.init_scope(), tf.device("CPU:0"):
            self._mine = tf.Variable(_as_numbers(NOTHING), trainable=False)
            self._all = tf.Variable(_as_numbers(NOTHING), trainable=False)

    def send(self) -> Any:
        return self._mine.read_value()

    def receive(self, reduced: Any) -> None:
        self._all.assign(reduced)

    def _write(self, numbers: np.ndarray) -> None:
        self._mine.assign(numbers)

    def _read(self) -> np.ndarray:
        return np.asarray(self._all.numpy())

    def _clear(self) -> None:
        self._all.assign(_as_numbers(NOTHING))


class _TorchWord(ControlWord):
    def __init__(self) -> None:
        super().__init__()
        import torch

        self._mine = torch.zeros(len(FLAGS))
        self._all = torch.zeros(len(FLAGS))

    def send(self) -> Any:
        return self._mine.clone()  # Horovod's torch calls may reduce in place

    def receive(self, reduced: Any) -> None:
        self._all.copy_(reduced)

    def _write(self, numbers: np.ndarray) -> None:
        self._mine.copy_(type(self._mine)(numbers))

    def _read(self) -> np.ndarray:
        return self._all.numpy()

    def _clear(self) -> None:
        self._all.zero_()


_KINDS: dict[_horovod.Framework, type[ControlWord]] = {
    "tensorflow": _TensorFlowWord,
    "torch": _TorchWord,
}


@cache
def word() -> ControlWord:
    """This process's control word, which every distributed optimizer carries."""
    return _KINDS[_horovod.keras_framework()]()


def _as_numbers(flags: Flag) -> np.ndarray:
    return np.array([float(bool(flags & flag)) for flag in FLAGS], dtype=np.float32)
