"""``%%px`` whose interrupt ends its cell; in ipyparallel's own, Run All goes on."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ipyparallel.client.magics import ParallelMagics

if TYPE_CHECKING:
    from interactive_dl.cluster._client import Client

_PATIENCE_S = 30.0
_QUIET_S = 1.0


class PxMagics(ParallelMagics):
    """ipyparallel's magics with an interrupt that is waited for and raised."""

    signal_on_interrupt: str | int | None

    def parallel_execute(
        self,
        cell: str,
        block: bool | None = None,
        groupby: str = "type",
        save_name: str | None = None,
        stream_output: bool | None = None,
        progress_after: float | None = None,
        signal_on_interrupt: str | int | None = None,
    ) -> Any:
        """Run a cell on the engines.

        Raises:
            KeyboardInterrupt: the notebook was interrupted; the engines have been, too.
        """
        number = signal_on_interrupt or self.signal_on_interrupt
        targets = self.view.targets
        self.signal_on_interrupt, configured = None, self.signal_on_interrupt
        try:
            return super().parallel_execute(
                cell,
                block=block,
                groupby=groupby,
                save_name=save_name,
                stream_output=stream_output,
                progress_after=progress_after,
            )
        except KeyboardInterrupt:
            if number is not None:
                self._interrupt(number, targets)
            raise
        finally:
            self.signal_on_interrupt = configured

    def _interrupt(self, number: str | int, targets: Any) -> None:
        """Signal the engines and wait for them; another interrupt ends the waiting."""
        self.view.client.send_signal(number, targets=targets, block=True)
        result = self.last_result
        result.wait(_QUIET_S)
        if not result.done():
            print(
                "Interrupted. The engines finish their step; interrupt again to stop waiting.",
                file=sys.stderr,
            )
            result.wait(_PATIENCE_S)
        if not result.done():
            print(stuck_text(_silent(result)), file=sys.stderr)


def activate(client: Client) -> None:
    """Make ``%%px`` and its kin run on all engines of ``client``."""
    from IPython import get_ipython

    shell = get_ipython()
    if shell is None:
        return
    view = client.direct_view("all")
    view.block = True
    shell.magics_manager.register(PxMagics(shell, view))


def stuck_text(engines: Sequence[int]) -> str:
    """What to do about engines that an interrupt does not reach."""
    return (
        f"Engines {list(engines)} have not stopped after {_PATIENCE_S:g} s: they are inside a call"
        " that hears no signal, such as an MPI collective that other engines have left. Their cell"
        " goes on, and their next one waits for it. Type: cluster.restart() for fresh engines."
    )


def _silent(result: Any) -> list[int]:
    """Engines whose part of the cell goes on."""
    return [
        engine
        for engine, future in zip(result.engine_id, result._children, strict=False)
        if not future.done()
    ]
