"""What a cell prints goes to the notebook as with any kernel, but a flush costs only where it must.

ipykernel flushes both streams around every request, and waits each time for a thread that may have
nothing to send: a fifth of the work for a short task.
"""

from __future__ import annotations

from ipykernel.iostream import OutStream


class Stream(OutStream):
    """ipykernel's stream; a flush is for what was written since the flush before."""

    _has_written = False

    def write(self, string: str) -> int | None:
        """Write text."""
        self._has_written = True
        return super().write(string)

    def flush(self) -> None:
        """Return when all that was written is on its way."""
        if self._has_written:
            self._has_written = False
            super().flush()
