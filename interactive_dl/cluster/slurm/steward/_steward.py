"""One world of engines: started, warned, started again, ended."""

from __future__ import annotations

import logging
import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import FrameType
from urllib.parse import urlsplit

from interactive_dl.cluster._places import ENGINES_LOG
from interactive_dl.cluster.slurm.silence import answers
from interactive_dl.cluster.slurm.steward._nodes import Nodes
from interactive_dl.cluster.slurm.worlds import Stage, World, is_to_end, of_others
from interactive_dl.errors import RecorderRefusedError, RecorderUnreachableError
from interactive_dl.telemetry import _address, exits, supervisor, wire
from interactive_dl.telemetry.feed import ask

_LOG = logging.getLogger("interactive_dl.cluster")
_TICK_S = 0.1
_LOOK_S = 1.0
_NAMED_S = 1.5
_LOST_S = 10.0
_ENDED_S = 5.0
_WITH_OTHERS = "MPI ended it with the others"
_FIRST = "Slurm's plug-in saw its end, and ended its watcher before that could tell how"
_ABORT_S = 2.0
_ASK_S = 5.0
_WORLDS = 4
_WITHIN_S = 60.0
_RESUME_S = 120.0
_ANNOUNCE_S = (5.0, 60.0)
_ANNOUNCE_PART = 20
_CHANGED_S = 2.0
_CUT_OFF = (
    "This host has lost the network: neither the other nodes nor the recorder answer. Engines here"
    " have been ended, and are not started again from here."
)


class Steward:
    """Looks after a world.

    Args:
        folder: the cluster's.
        nodes: that it runs on.
        command: starts all engines on them, with the engine's own words.
        restart: whether a world that has ended is started again.
        is_elastic: whether the others go on when an engine dies or a node falls silent.
    """

    def __init__(
        self,
        *,
        folder: Path,
        nodes: Nodes,
        command: Sequence[str],
        restart: bool,
        is_elastic: bool,
    ) -> None:
        self._job = nodes.job
        self._folder = folder
        self._printed = folder / ENGINES_LOG
        self._printed_before = 0
        self._nodes = nodes
        self._command = tuple(command)
        self._restart = restart
        self._is_elastic = is_elastic
        self._warning = ""
        self._heard: list[int] = []
        self._patience = supervisor.Patience(_WORLDS, _WITHIN_S)
        self._silence = nodes.silence
        self._look_at_exits_s = 0.0
        self._broken_since_s: float | None = None
        self._looker: threading.Thread | None = None

    def run(self) -> int:
        """Start the world, again where that is wanted, until the job is to end.

        Returns:
            The exit code of the last one; 0 where somebody stopped the cluster.
        """
        for number in (signal.SIGUSR1, signal.SIGTERM):
            signal.signal(number, self._hear)
        nodes, world = tuple(self._nodes.slots), World(self._job, (), ())
        gone: tuple[int, ...] = ()
        code, has_left = 1, False
        while ids := self._claim(nodes):
            world = replace(world, ids=ids, hosts=nodes)
            world.write(self._folder)
            code = self._look_after(world, gone)
            gone = (*gone, *world.ids)
            has_left = self._has_left(world)
            if has_left or self._is_to_end or not self._restart or self._warning:
                break
            if self._is_cut_off():
                _LOG.error("%s", _CUT_OFF)
                break
            self._bury(world)
            fit = self._fit_nodes()
            why = self.why_over(world, fit)
            if not fit or self._patience.is_over(time.monotonic()):
                _LOG.error("%s It is not started again.", why)
                replace(world, stage="over", reason=why).write(self._folder)
                break
            _LOG.warning("%s It starts again on %s.", why, ", ".join(fit))
            reason = f"{why} Engines start again on {', '.join(fit)}."
            nodes, world = fit, replace(world, stage="restarting", reason=reason)
        if has_left or self._is_to_end:
            return 0
        return 128 - code if code < 0 else code or 1  # Open MPI may lose a node and say 0

    # -- one world --------------------------------------------------------------------------------

    def _look_after(self, world: World, gone: Sequence[int]) -> int:
        """Start a world and wait for its end; its exit code."""
        process = self._start(world)
        resuming = self._resume(world, gone) if gone else None
        is_over = self._announce_end(world)
        noted = world
        while (code := process.poll()) is None:
            time.sleep(_TICK_S)
            if self._is_to_end:
                self._abort(process)
                continue
            self._warn(world)
            silent = self._look(world)
            noted = self._note(noted, silent)
            is_cut = max(silent.values(), default=0.0) > _LOST_S
            if not self._is_elastic and (is_cut or self._is_broken(world)):
                self._abort(process)
        is_over.set()
        if resuming is not None and resuming.poll() is None:
            resuming.kill()
        self._nodes.sweep()
        return code

    def _has_left(self, world: World) -> bool:
        """Whether all engines have ended because somebody asked them to."""
        told = exits.exits(self._folder)
        return all(engine in told and told[engine].exit_code == 0 for engine in world.ids)

    def _start(self, world: World) -> subprocess.Popen[bytes]:
        self._printed_before = self._printed.stat().st_size if self._printed.exists() else 0
        words = self._nodes.placed(self._command, world.hosts)
        words += ["--world", ",".join(map(str, world.ids))]
        # Of a world that has ended some steps may take a while to go.
        environment = {**os.environ, "SLURM_OVERLAP": "1"}
        return subprocess.Popen(
            words, env=environment, preexec_fn=_be_deaf, stdin=subprocess.DEVNULL
        )

    def _claim(self, nodes: Sequence[str]) -> tuple[int, ...]:
        """Ids for engines, once they can be claimed; none where the job is to end before."""
        count = sum(self._nodes.slots[node] for node in nodes)
        said = ""
        while not (said and (self._is_to_end or self._heard)):
            try:
                return exits.claim_ids(self._folder, count)
            except OSError as error:
                if not said:
                    _LOG.error("Engines cannot be numbered, and start once they can: %s", error)
                said = str(error)
            time.sleep(_LOOK_S)
        return ()

    def _abort(self, process: subprocess.Popen[bytes]) -> None:
        """End a world; what of it does not end by itself is killed."""
        process.send_signal(signal.SIGINT)
        try:
            process.wait(_ABORT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _is_broken(self, world: World) -> bool:
        """Whether a rank has ended a while ago whose death ends all, and MPI has not seen to it."""
        survives = self._nodes.survive(len(world.hosts))
        if survives or time.monotonic() < self._look_at_exits_s:
            return False
        self._look_at_exits_s = time.monotonic() + _LOOK_S
        if not set(world.ids) & set(exits.exits(self._folder)):
            self._broken_since_s = None
        elif self._broken_since_s is None:
            self._broken_since_s = time.monotonic()
        else:
            return time.monotonic() - self._broken_since_s > _ENDED_S
        return False

    def _bury(self, world: World) -> None:
        """End what is left of a world, and leave word of those whose end nobody could tell."""
        self._nodes.clear()
        told, births = exits.exits(self._folder), exits.births(self._folder)
        nodes = [node for node in world.hosts for _ in range(self._nodes.slots[node])]
        first = None if told.keys() & set(world.ids) else self._first_to_end()
        for rank, (engine, node) in enumerate(zip(world.ids, nodes, strict=True)):
            if engine in births and engine not in told:
                lost = self._silence.known.get(node, 0.0) > _NAMED_S
                ended = _FIRST if rank == first else _WITH_OTHERS
                self._note_loss(births[engine], "its node does not answer" if lost else ended)

    def _first_to_end(self) -> int | None:
        """The rank that ended first, where what was printed since the world began says so."""
        if not self._printed.exists():
            return None
        with self._printed.open("rb") as printed:
            printed.seek(self._printed_before)
            return self._nodes.first_to_end(printed.read().decode(errors="replace"))

    def _note_loss(self, birth: exits.Birth, how: str) -> None:
        try:
            exits.record_loss(self._folder, birth, how)
        except OSError as error:
            _LOG.warning("Notebooks are not told how engine %d ended: %s", birth.engine, error)

    # -- nodes ------------------------------------------------------------------------------------

    def _look(self, world: World) -> dict[str, float]:
        """For how long which nodes have been silent, as far as is known; asks again beside."""
        if self._is_asked and (self._looker is None or not self._looker.is_alive()):
            self._looker = threading.Thread(target=self._ask_nodes, name="nodes", daemon=True)
            self._looker.start()
        known = self._silence.known
        return {node: known[node] for node in world.hosts if known.get(node, 0.0) > _NAMED_S}

    @property
    def _is_asked(self) -> bool:
        """Whether there is a way to see whether nodes answer."""
        return bool(self._silence.places) or self._silence.seek is not None

    def _ask_nodes(self) -> None:
        self._silence.find()
        self._silence.look()
        time.sleep(_LOOK_S)

    def _fit_nodes(self) -> tuple[str, ...]:
        """Nodes to start engines on: neither out of service nor silent."""
        unfit = self._nodes.unfit()
        silent = self._silence.look() if self._silence.places else {}
        return tuple(
            node for node in self._nodes.slots if node not in unfit and not silent.get(node, 0.0)
        )

    def _is_cut_off(self) -> bool:
        """Whether it is this host that has lost the network: neither other nodes nor the recorder
        answer. What is started here would go on beside what is started elsewhere.
        """
        nodes = self._nodes.slots
        if len(nodes) < 2 or sum(map(bool, self._silence.look().values())) < len(nodes) - 1:
            return False
        try:
            recorder = urlsplit(_address.read(self._folder).endpoint)
        except RecorderUnreachableError:
            return False
        return not answers((recorder.hostname or "", recorder.port or 0))

    def why_over(self, world: World, fit: Sequence[str]) -> str:
        """Why a world has ended, where nodes are fit to be used."""
        left_out = [node for node in world.hosts if node not in fit]
        if left_out:
            return f"The world of engines has ended, and {', '.join(left_out)} cannot be used."
        told = exits.exits(self._folder).values()
        known = [one for one in told if one.engine in world.ids and one.lost != _WITH_OTHERS]
        if not known:
            return "The world of engines has ended; it was not seen which of them was the first."
        first = min(known, key=lambda one: one.ended_at_s)
        return f"Engine {first.engine} on {first.host} ended first: {first.reason}."

    def _note(self, world: World, silent: dict[str, float]) -> World:
        """Leave word of what is new."""
        stage: Stage = "running"
        if world.stage == "restarting" and not set(world.ids) <= set(exits.births(self._folder)):
            stage, reason = "restarting", world.reason
        elif silent:
            then = (
                "the others go on without it."
                if self._is_elastic
                else f"after {_LOST_S:g} s engines are started again without it."
            )
            reason = f"No answer from {', '.join(sorted(silent))}; {then}"
        elif self._warning:
            stage = "leaving"
            reason = (
                f"{self._warning}: what trains writes a checkpoint and stops. Type:"
                f" {self._nodes.go_on}"
            )
        else:
            reason = ""
        now = replace(world, stage=stage, reason=reason)
        if now != world:
            now.write(self._folder)
        return now

    # -- the end of the allocation ----------------------------------------------------------------

    @property
    def _is_to_end(self) -> bool:
        return is_to_end(self._folder, self._job)

    def _hear(self, number: int, _frame: FrameType | None) -> None:
        self._heard.append(number)

    def _warn(self, world: World) -> None:
        """Have all that runs let go of the engines, if the allocation is about to end."""
        if self._warning or not self._heard:
            return
        self._warning = self._nodes.ending(self._heard[0])
        _LOG.warning("%s.", self._warning)
        threading.Thread(target=self._vacate, args=(world,), name="vacate", daemon=True).start()

    def _engines(self, world: World) -> tuple[int, ...]:
        """Those of a world, and those that were started in its job since: healed, or grown."""
        try:
            born = exits.births(self._folder).keys() - of_others(self._folder, self._job)
        except OSError as error:
            _LOG.warning("Which engines were started since is not known: %s", error)
            return world.ids
        return tuple(sorted({*world.ids, *born}))

    def _announce_end(self, world: World) -> threading.Event:
        """Keep the recorder told of when engines are to be left that go on without this node.

        Returns:
            Ends that when it is set.
        """
        is_over = threading.Event()
        if self._is_elastic and len(world.hosts) > 1:
            words = (world, is_over)
            threading.Thread(target=self._announce, args=words, name="end", daemon=True).start()
        return is_over

    def _announce(self, world: World, is_over: threading.Event) -> None:
        told_s = math.inf
        pause_s = _ANNOUNCE_S[0]
        while not is_over.is_set():
            leaving = self._nodes.leaving()
            if leaving is not None:
                at_s = time.time() + leaving.in_s
                engines = self._engines(world)
                is_passed = self._pass_on(wire.Vacate(1, leaving.why, engines, leaving.in_s))
                if is_passed and abs(at_s - told_s) > _CHANGED_S:
                    _LOG.info("What runs here is asked to leave at %s.", _clock(at_s))
                    told_s = at_s
                pause_s = _clamped(leaving.in_s / _ANNOUNCE_PART, *_ANNOUNCE_S)
            is_over.wait(pause_s)

    def _pass_on(self, message: wire.Vacate) -> bool:
        """Tell the recorder; whether it has heard."""
        try:
            ask(_address.read(self._folder), message, _ASK_S)
        except (RecorderUnreachableError, RecorderRefusedError) as error:
            _LOG.debug("%s", error)
            return False
        return True

    def _vacate(self, world: World) -> None:
        """Tell the recorder, until it has heard."""
        while True:
            try:
                address = _address.read(self._folder)
                ask(address, wire.Vacate(1, self._warning, self._engines(world)), _ASK_S)
                return
            except RecorderUnreachableError as error:
                _LOG.warning("%s", error)
                time.sleep(_TICK_S)
            except RecorderRefusedError as error:
                _LOG.warning("What runs on the engines ends without a checkpoint: %s", error)
                return

    def _resume(self, world: World, gone: Sequence[int]) -> subprocess.Popen[bytes]:
        """Have what had trained begin again, once the engines are there."""
        words = ["--folder", str(self._folder), "--engines", *map(str, world.ids)]
        words += ["--gone", *map(str, gone)]
        return subprocess.Popen(
            [sys.executable, "-m", "interactive_dl.cluster.resuming", *words],
            stdin=subprocess.DEVNULL,
        )


def _be_deaf() -> None:
    """Of all that runs in the job it is for the steward to say when it ends."""
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])


def _clock(at_s: float) -> str:
    """A time, in seconds since the epoch, in words."""
    return "no time" if at_s == math.inf else time.strftime("%H:%M:%S", time.localtime(at_s))


def _clamped(value: float, least: float, most: float) -> float:
    return max(least, min(value, most))
