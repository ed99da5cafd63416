"""Which engines others keep busy."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from interactive_dl.search.driver import _queues
from interactive_dl.search.driver._queues import Queues, Sent, others


def status(**counts: tuple[int, int]) -> dict[str, Any]:
    """As the hub answers: what came through direct and load-balanced views, by engine."""
    by_engine = {
        name[1:]: {"queue": queue, "completed": 9, "tasks": tasks}
        for name, (queue, tasks) in counts.items()
    }
    return {"status": "ok", "unassigned": 0, **by_engine}


class Hub:
    """Answers when told to."""

    def __init__(self) -> None:
        self.waiting: list[Callable[[Any], None]] = []

    def ask_queues(self) -> Any:
        return SimpleNamespace(add_done_callback=self.waiting.append)

    def answer(self, content: dict[str, Any]) -> None:
        message = SimpleNamespace(result=lambda: {"content": content})
        self.waiting.pop(0)(message)


def test_who_has_more_than_was_sent_is_busy_with_something_else() -> None:
    sent = [Sent("tasks", (0,)), Sent("queue", (2, 3))]
    content = status(e0=(0, 1), e1=(0, 0), e2=(1, 0), e3=(2, 0), e4=(0, 1), e5=(1, 0))
    assert others(content, sent) == {3, 4, 5}
    assert others(status(e0=(1, 1), e2=(0, 0)), sent) == {0}
    assert others({"status": "error", "ename": "NoEnginesRegistered"}, sent) == frozenset()


def test_the_hub_is_asked_again_when_it_has_answered_and_some_time_has_passed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hub = Hub()
    client: Any = hub
    queues = Queues(client)
    sent = Sent("queue", (0,))
    queues.add(sent)
    queues.look()
    queues.look()
    assert len(hub.waiting) == 1
    assert queues.busy() == frozenset()
    hub.answer(status(e0=(2, 0), e1=(0, 0)))
    assert queues.busy() == {0}
    queues.look()
    assert not hub.waiting, "it was asked a moment ago"
    sent.end()
    monkeypatch.setattr(_queues, "LOOK_S", 0.0)
    monkeypatch.setattr(_queues, "_LAG_S", 0.0)
    queues.look()
    queues.look()
    assert len(hub.waiting) == 1, "it has not answered"
    hub.answer(status(e0=(1, 0), e1=(0, 0)))
    assert queues.busy() == {0}, "what is over is not its own any more"
