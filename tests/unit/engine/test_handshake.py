"""The leader of a meeting, with a channel that delivers what a test scripts, poll by poll."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from interactive_dl.engine import _handshake
from interactive_dl.engine._handshake import Message, OutdatedError


class ScriptedChannel:
    """Engine 1's channel; each poll delivers the next list of messages of engine 2."""

    me = 1

    def __init__(self, polls: Sequence[Sequence[Message]]) -> None:
        self.polls = iter(polls)
        self.said: list[Message] = []

    def hear(self, engine: int) -> Iterator[Message]:
        yield from next(self.polls, ())

    def say(self, engine: int, message: Message) -> None:
        self.said.append(message)

    def dead(self, engines: Sequence[int]) -> list[int]:
        return []


def lead(channel: ScriptedChannel) -> Any:
    leader = _handshake._Leader(channel, (1, 2), 1e12, 30.0, {1: "mine"})  # type: ignore[arg-type]
    return leader.lead()


def test_what_an_attempt_that_failed_left_behind_is_waited_out() -> None:
    """Under load the withdrawal comes after the leader has read the stale hello."""
    channel = ScriptedChannel(
        [
            [Message("hello", 0, ((1, 2, 6), "stale"))],
            [],
            [Message("withdraw", 0), Message("hello", 1, ((1, 2), "fresh"))],
        ]
    )
    agreed = lead(channel)
    assert agreed.words == {1: "mine", 2: "fresh"}
    assert channel.said[-1] == Message("go", 1, agreed)


def test_a_caller_that_stays_with_another_group_is_refused() -> None:
    channel = ScriptedChannel([[Message("hello", 0, ((1, 2, 6), None))]])
    with pytest.raises(OutdatedError, match=r"asks for \[1, 2\] and engine 2 for \[1, 2, 6\]"):
        lead(channel)
    assert channel.said[-1].kind == "abort"
