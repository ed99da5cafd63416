"""The connections to the guards of all hosts."""

from __future__ import annotations

import logging
import shlex
import subprocess
import threading
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Self

from interactive_dl.cluster._places import Places
from interactive_dl.cluster.slurm.silence import Silence
from interactive_dl.cluster.ssh._connection import CONNECT_S, ssh_words
from interactive_dl.cluster.ssh.host import SIGN, guard_command
from interactive_dl.cluster.ssh.request import Request
from interactive_dl.cluster.ssh.steward import script_of

_LOG = logging.getLogger("interactive_dl.cluster")
_ANSWER_S = 1.0
_BEAT_S = 3.0
_SWEEP_S = 3.0
_READY_S = CONNECT_S + 15.0
_END_S = 3.0
_AT_ONCE = 64


class Guard:
    """The connection to a host's guard, which may be opened again when it has ended.

    Args:
        host: its name.
        command: ssh, and what the host is to run.
    """

    def __init__(self, host: str, command: Sequence[str]) -> None:
        self.host = host
        self._command = command
        self._change = threading.Condition()
        self._sent = 0
        self._heard = -1
        self._ssh: subprocess.Popen[str] | None = None

    @property
    def is_open(self) -> bool:
        """Whether there is a connection, as far as this host knows."""
        return self._ssh is not None and self._ssh.poll() is None

    def open(self) -> bool:
        """Connect, and wait until the guard is ready; whether it is."""
        self.hang_up()
        with self._change:
            self._sent, self._heard = 0, -1
        self._ssh = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        reader = threading.Thread(target=self._listen, args=(self._ssh,), daemon=True)
        reader.start()
        return self._await(0, _READY_S)

    def ask(self, word: str, timeout_s: float) -> bool:
        """Say a word; whether it was answered in time."""
        return self._await(self.tell(word), timeout_s)

    def tell(self, word: str) -> int:
        """Say a word; the number of its answer."""
        with self._change:
            self._sent += 1
            number = self._sent
            if self.is_open and self._ssh is not None and self._ssh.stdin is not None:
                try:
                    self._ssh.stdin.write(f"{word} {number}\n")
                except OSError:
                    _LOG.warning("The connection to %s has ended.", self.host)
            return number

    def hang_up(self) -> None:
        """Say no more: the guard ends what runs on its host, and then itself."""
        if self._ssh is not None and self._ssh.stdin is not None:
            try:
                self._ssh.stdin.close()
            except OSError:
                _LOG.warning("The connection to %s has ended.", self.host)

    def await_end(self, timeout_s: float) -> bool:
        """Wait until the guard has ended, and break the connection off where it does not."""
        if self._ssh is None:
            return True
        try:
            self._ssh.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self._ssh.kill()
            self._ssh.wait()
            return False
        return True

    def _await(self, number: int, timeout_s: float) -> bool:
        with self._change:
            self._change.wait_for(lambda: self._heard >= number or not self.is_open, timeout_s)
            return self._heard >= number

    def _listen(self, ssh: subprocess.Popen[str]) -> None:
        assert ssh.stdout is not None
        for line in ssh.stdout:
            if line.startswith(SIGN):
                with self._change:
                    self._heard = int(line.split()[-1])
                    self._change.notify_all()
        ssh.wait()
        with self._change:
            self._change.notify_all()


class Guards:
    """The hosts of a cluster, as its steward sees them, while the ``with`` block runs.

    Args:
        places: of the cluster.
        request: which hosts, and how they are reached.
    """

    job = 0
    go_on = "cluster.restart()"

    def __init__(self, places: Places, request: Request) -> None:
        command = guard_command(places.folder, places.volatile)
        words = shlex.join(["bash", str(script_of(places)), *command])
        ssh = ssh_words(request.ssh_options)
        self.slots: Mapping[str, int] = request.slots
        self._guards = {host: Guard(host, [*ssh, host, words]) for host in request.slots}
        self.silence = Silence(self._guards, _answers)
        self._is_over = threading.Event()
        self._beater = threading.Thread(target=self._beat, name="beats", daemon=True)

    def __enter__(self) -> Self:
        self._beater.start()
        return self

    def __exit__(self, *_ended: object) -> None:
        # A guard that was lost has left its host unguarded: a new one begins with a sweep.
        self.unfit()
        self._is_over.set()
        self._beater.join()
        for guard in self._guards.values():
            guard.hang_up()
        for guard in self._guards.values():
            if not guard.await_end(_END_S):
                _LOG.warning(
                    "%s does not answer: what runs there ends by itself, when it notices.",
                    guard.host,
                )

    def placed(self, command: Sequence[str], hosts: Sequence[str]) -> list[str]:
        at = command.index("-n") + 1
        count = sum(self.slots[host] for host in hosts)
        listed = ",".join(f"{host}:{self.slots[host]}" for host in hosts)
        return [*command[:at], str(count), "--host", listed, *command[at + 1 :]]

    def survive(self, count: int) -> bool:
        return count == 1

    def first_to_end(self, said: str) -> None:
        """Guards end no watcher before it has seen its engine's end."""

    def sweep(self) -> None:
        for guard in self._guards.values():
            guard.tell("sweep")

    def clear(self) -> None:
        with ThreadPoolExecutor(_AT_ONCE) as askers:
            list(askers.map(lambda guard: guard.ask("sweep", _SWEEP_S), self._guards.values()))

    def unfit(self) -> Collection[str]:
        """Hosts without a guard, after one more attempt to have one there."""
        closed = [guard for guard in self._guards.values() if not guard.is_open]
        with ThreadPoolExecutor(_AT_ONCE) as openers:
            are_ready = list(openers.map(Guard.open, closed))
        return [
            guard.host for guard, is_ready in zip(closed, are_ready, strict=True) if not is_ready
        ]

    def _beat(self) -> None:
        """Guards leave that hear nothing, also while one of them is slow to come."""
        while not self._is_over.wait(_BEAT_S):
            for guard in self._guards.values():
                guard.tell("beat")

    def ending(self, number: int) -> str:
        return "The processes of the notebook's host are told to end"

    def leaving(self) -> None:
        """Hosts have no time that is over."""


def _answers(guard: Guard) -> bool:
    return guard.ask("beat", _ANSWER_S)
