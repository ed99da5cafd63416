"""The ranks that share the data, as far as this room knows them, and what they must agree on."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np

from interactive_dl.errors import DataError, SourcesDifferError

Value = TypeVar("Value")


class Communicator(Protocol):
    """What ``shard`` needs of a group of ranks; the group of ``engine.init()`` is one."""

    @property
    def rank(self) -> int:
        """This process, 0 .. size-1."""
        ...

    @property
    def size(self) -> int:
        """Number of processes."""
        ...

    def allgather(self, value: Any, /) -> list[Any]:
        """Every rank's ``value`` (picklable), by rank, on every rank."""
        ...


class Interrupts(Protocol):
    """Interrupts of this process that were counted and not raised."""

    @property
    def count(self) -> int:
        """How many there were."""
        ...

    def await_first(self) -> None:
        """Wait a moment for one that the other ranks have had."""
        ...


class Nodes(Communicator, Protocol):
    """What ``stage`` needs of a group of ranks; the group of ``engine.init()`` is one."""

    @property
    def hosts(self) -> tuple[str, ...]:
        """Names of the hosts, by rank."""
        ...

    def pass_on(self, block: np.ndarray, /, to: int, into: np.ndarray, source: int) -> None:
        """Send ``block`` to one rank while ``into`` is filled by another; uint8, (bytes,) each."""
        ...

    def interrupts(self) -> AbstractContextManager[Interrupts]:
        """Count interrupts within instead of raising them."""
        ...


class Alone:
    """The one rank of a process that trains by itself; it may be interrupted anywhere."""

    rank = 0
    size = 1
    count = 0

    @property
    def hosts(self) -> tuple[str, ...]:
        """This host's name."""
        return (socket.gethostname(),)

    def allgather(self, value: Any, /) -> list[Any]:
        """This rank's ``value``."""
        return [value]

    def pass_on(self, block: np.ndarray, /, to: int, into: np.ndarray, source: int) -> None:
        """To itself."""
        into[:] = block

    @contextmanager
    def interrupts(self) -> Iterator[Interrupts]:
        """None is counted: nobody waits for this rank."""
        yield self

    def await_first(self) -> None:
        """There is none."""


@dataclass(frozen=True)
class _Report:
    """What a rank found, or the error it met."""

    found: Any
    error: type[Exception] | None = None
    text: str = ""


def agree(group: Communicator, look: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Look at the data on every rank and make sure that all saw the same.

    One allgather, whatever happens, so that no rank waits for one that failed.

    Args:
        group: the ranks; all of them call this.
        look: returns this rank's facts by name, or raises.

    Returns:
        The facts, alike on every rank.

    Raises:
        SourcesDifferError: ranks saw different facts.
        DataError: ``look`` failed on some ranks; the same error on every rank, naming them. It is
            the error of ``look`` where that is a ``DataError`` and all that failed met one kind.
    """
    facts = gather(group, look, "read the data")
    _require_same(facts)
    return facts[group.rank]


def gather(group: Communicator, look: Callable[[], Value], aim: str) -> list[Value]:
    """What ``look`` returns on every rank, by rank; one allgather, whatever happens.

    Args:
        group: the ranks; all of them call this.
        look: returns something picklable, or raises.
        aim: what every rank must be able to do, as an error says.

    Raises:
        DataError: as in ``agree``.
    """
    cause: Exception | None = None
    try:
        report = _Report(look())
    except Exception as error:  # noqa: BLE001 - whatever it is, the other ranks have to hear of it
        cause = error
        report = _Report(None, type(error), _text(error))
    reports: list[_Report] = group.allgather(report)
    failed = {rank: other for rank, other in enumerate(reports) if other.error is not None}
    if failed:
        raise _failure(failed, group.size, aim) from cause
    return [other.found for other in reports]


def _text(error: Exception) -> str:
    return str(error) if isinstance(error, DataError) else f"{type(error).__name__}: {error}"


def _failure(failed: dict[int, _Report], size: int, aim: str) -> DataError:
    kinds = {report.error for report in failed.values()}
    kind = kinds.pop() if len(kinds) == 1 else DataError
    error = kind if kind is not None and issubclass(kind, DataError) else DataError
    texts = {report.text for report in failed.values()}
    if len(texts) == 1 and len(failed) == size:
        return error(texts.pop())
    listed = "\n".join(f"  rank {rank}: {report.text}" for rank, report in failed.items())
    return error(f"Every rank must be able to {aim}, but {len(failed)} of {size} cannot:\n{listed}")


def _require_same(facts: list[dict[str, Any]]) -> None:
    for name, value in facts[0].items():
        if any(other[name] != value for other in facts):
            listed = ", ".join(f"rank {rank}: {other[name]}" for rank, other in enumerate(facts))
            raise SourcesDifferError(
                f"All ranks must have the same {name}, but got {listed}. Open the same file with"
                " the same arguments everywhere; copies on other hosts may be out of date."
            )
