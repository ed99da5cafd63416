"""An action on its way to a search, and its answer."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from interactive_dl.errors import (
    ActionRefusedError,
    CommandRefusedError,
    RecorderUnreachableError,
)
from interactive_dl.search import events, words
from interactive_dl.search._steering import TIMEOUT_S
from interactive_dl.search.events import AnyAction
from interactive_dl.telemetry import identity
from interactive_dl.telemetry.steering import Request, Sent

if TYPE_CHECKING:
    from interactive_dl.search.search import Search

_RETRY_S = 0.2


class Pending:
    """An action that a search was asked for.

    Attributes:
        id: of the action.
    """

    def __init__(self, search: Search, id_: str, action: AnyAction) -> None:
        self.id = id_
        self._search = search
        self._sent = Sent(id_, identity.who(), Request(words.plain(words.Act(action))))

    def send(self, timeout_s: float) -> None:
        """Bring it to the recorder; while the driver is away, again and again.

        Raises:
            ActionRefusedError: nobody runs the search.
            RecorderUnreachableError: no recorder answers.
        """
        source = self._search._source(words.work_of(self._search.id))
        deadline_s = time.monotonic() + timeout_s
        while True:
            try:
                source.send(self._sent, timeout_s)
                return
            except (CommandRefusedError, RecorderUnreachableError) as error:
                if time.monotonic() > deadline_s:
                    if isinstance(error, RecorderUnreachableError):
                        raise
                    raise ActionRefusedError(str(error)) from error
            time.sleep(_RETRY_S)

    def result(self, timeout_s: float = TIMEOUT_S) -> events.Acted:
        """Wait for the answer.

        Raises:
            ActionRefusedError: the search refused.
            TimeoutError: it has not answered yet.
        """
        if not self._search._await(lambda: self._answer() is not None, timeout_s):
            raise TimeoutError(
                f"{self._search.id} has not answered within {timeout_s:g} s (state:"
                f" {self._search.state}). Wait on with result(timeout_s)."
            )
        answer = self._answer()
        if isinstance(answer, events.ActionRefused):
            raise ActionRefusedError(answer.reason)
        assert answer is not None
        return answer

    def _answer(self) -> events.Acted | events.ActionRefused | None:
        book = self._search._book
        if not book.has_action(self.id):
            return None
        return next(one for _, one in reversed(book.actions) if one.id == self.id)
