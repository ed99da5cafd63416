"""A line to the outside for tests: commands come at given steps, events are kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from unittest import mock

from interactive_dl.engine._keep_position import KeepPosition
from interactive_dl.telemetry import events
from interactive_dl.telemetry.steering import AnyCommand, Sent


class ScriptedLine:
    """Rank 0's publisher: before step ``n`` (from 1) it hears ``commands[n]``.

    While the run is paused it hears ``while_paused``, one at each look.
    """

    def __init__(
        self,
        commands: Mapping[int, Sequence[AnyCommand]],
        while_paused: Sequence[AnyCommand] = (),
    ) -> None:
        self.heard: list[Sent] = []
        self.told: list[events.Event] = []
        self.closed = False
        self._script = {step: list(them) for step, them in commands.items()}
        self._while_paused = list(while_paused)
        self.steps_done = 0

    def publish(self, event: events.Event) -> None:
        self.told.append(event)

    def commands(self) -> list[Sent]:
        """Called once before each step, and at each meeting."""
        next_step = self.steps_done + 1
        due = [
            one for at in sorted(self._script) if at <= next_step for one in self._script.pop(at)
        ]
        return [self._sent(command) for command in due]

    def wait_for_command(self, timeout_s: float) -> None:
        if self._while_paused:
            self._script[0] = [self._while_paused.pop(0)]

    def close(self, timeout_s: float) -> None:
        self.closed = True

    def of(self, kind: type[events.Event]) -> list[events.Event]:
        return [event for event in self.told if isinstance(event, kind)]

    def _sent(self, command: AnyCommand) -> Sent:
        sent = Sent(f"c{len(self.heard)}", "somebody", command)
        self.heard.append(sent)
        return sent


@contextmanager
def scripted(line: ScriptedLine) -> Iterator[ScriptedLine]:
    """Have the next runs open ``line``."""
    count = KeepPosition.on_train_batch_end

    def note(self: KeepPosition, batch: int, logs: Any = None) -> None:
        count(self, batch, logs)
        line.steps_done = self._context.position.step

    with (
        mock.patch("interactive_dl.telemetry.publisher.open", return_value=line),
        mock.patch.object(KeepPosition, "on_train_batch_end", note),
    ):
        yield line
