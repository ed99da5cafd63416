"""The engine itself: a member of a world of engines that runs cells."""

from __future__ import annotations

from interactive_dl.telemetry.commands import without_mpi

# MPI starts before anything else is imported: whoever spawns this process waits for it to do so.
if not without_mpi():
    from mpi4py import MPI

import argparse
import faulthandler
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ipyparallel.engine import app as ipengine
from ipyparallel.engine import nanny
from tornado.ioloop import IOLoop
from traitlets.config import Config

from interactive_dl.engine import _joining, _quiet, healing, world
from interactive_dl.engine._beats import Beats
from interactive_dl.engine._gloo import GlooWorld
from interactive_dl.engine._inviting import Invitation
from interactive_dl.engine._kernel import Kernel
from interactive_dl.engine._mpi import MpiWorld
from interactive_dl.engine._streams import Stream
from interactive_dl.telemetry import exits
from interactive_dl.telemetry.commands import OUTLIVES_SIGTERM

_REGISTRATION_TIMEOUT_S = 60.0
_JOIN_TIMEOUT_S = 120.0

# IPEngine has no other place to say which class its kernel is of.
ipengine.Kernel = Kernel


class _Engine(ipengine.IPEngine):
    """ipyparallel's engine, which completes its shell before the first cell arrives.

    Attributes:
        invitation: to a training that it is to join at once; None where there is none.
    """

    invitation: Invitation | None = None

    async def complete_registration(self, *args: Any) -> None:
        await super().complete_registration(*args)
        from interactive_dl.engine import cells

        cells.install(self.kernel.shell)
        if self.invitation is not None:
            # As a cell does: whatever is asked of it meanwhile waits.
            IOLoop.current().add_callback(_joining.accept, self.invitation, self.kernel.shell)

    def init_signal(self) -> None:
        super().init_signal()
        if OUTLIVES_SIGTERM in os.environ:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)

    def start_nanny(self, control_url: str) -> Any:
        """As ipyparallel does, but the engine's log stays the engine's: its end is shown."""
        config = Config()
        config.Session = self.config.Session
        return nanny.start_nanny(
            engine_id=self.id,
            identity=self.bident,
            control_url=control_url,
            curve_serverkey=self.curve_serverkey,
            curve_secretkey=self.curve_secretkey,
            curve_publickey=self.curve_publickey,
            registration_url=self.registration_url,
            config=config,
            log_level=logging.CRITICAL + 1,
        )


def main(words: Sequence[str] | None = None) -> None:
    """Join the world, then serve cells until told to stop."""
    options = _parse(words)
    late = threading.Timer(_JOIN_TIMEOUT_S, _give_up)
    late.daemon = True
    late.start()
    # MPI_Init replaces Python's handler of fatal signals by one that cannot name a Python line.
    faulthandler.enable()
    Beats().start()
    _quiet.install()
    joined = _join(options)
    world.enter(joined)
    invitation = None
    if options.invited:
        invitation = _joining.receive_invitation(joined, options.folder)
    late.cancel()
    exits.record_birth(options.folder, _birth(options, joined))
    app = _Engine.instance(
        id=options.id,
        timeout=_REGISTRATION_TIMEOUT_S,
        # A controller that is gone is no reason to end a training.
        max_heartbeat_misses=0,
        log_level=logging.ERROR,
        out_stream_factory=Stream,
    )
    app.invitation = invitation
    # Which cluster it belongs to stands in the environment.
    app.initialize([])
    # traitlets lets it make records of every message, for its handlers to drop.
    app.log.setLevel(app.log_level)
    app.start()


def _parse(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--id", type=int, required=True)
    parser.add_argument("--world", default="")
    parser.add_argument("--invited", action="store_true")
    return parser.parse_args(words)


def _join(options: argparse.Namespace) -> MpiWorld | GlooWorld:
    if without_mpi():
        return GlooWorld.of(options.folder, options.id)
    parents = MPI.Comm.Get_parent()
    ids = _ids(options.world)
    if parents == MPI.COMM_NULL:
        ranks = tuple(range(MPI.COMM_WORLD.size))
        return MpiWorld.of(MPI.COMM_WORLD.Dup(), ids or ranks, options.id)
    comm = healing.join_parents(parents, options.folder, ids, is_invited=options.invited)
    return MpiWorld.of(comm, ids, options.id)


def _ids(words: str) -> tuple[int, ...]:
    return tuple(int(word) for word in words.split(",") if word)


def _birth(options: argparse.Namespace, joined: MpiWorld | GlooWorld) -> exits.Birth:
    if isinstance(joined, MpiWorld):
        # As MPI says: where another MPI's mpiexec started this, it is not the id's rank.
        rank, ids, endpoint = joined.comm.rank, joined.ids, ""
    else:
        ids = _ids(options.world)
        rank, endpoint = ids.index(options.id), joined.mesh.endpoint
    return exits.Birth(
        engine=options.id,
        rank=rank,
        world=ids,
        host=socket.gethostname(),
        pid=os.getpid(),
        watcher_pid=os.getppid(),
        endpoint=endpoint,
    )


def _give_up() -> None:
    """Whoever was to form the world with this engine has died or given up."""
    print(f"The world was not formed within {_JOIN_TIMEOUT_S:g} s.", file=sys.stderr, flush=True)
    os._exit(1)


if __name__ == "__main__":
    try:
        main()
    finally:
        # MPI_Finalize would wait for ranks that are dead, or that belong to an older world.
        sys.stdout.flush()
        sys.stderr.flush()
        failed = sys.exc_info()[1]
        if failed is not None:
            sys.excepthook(type(failed), failed, failed.__traceback__)
        os._exit(0 if failed is None else 1)
