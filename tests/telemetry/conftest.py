"""A recorder in processes of its own, and conditions that are awaited."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from interactive_dl.cluster._ports import quiet_ports
from interactive_dl.telemetry import _address
from interactive_dl.telemetry.publisher import RecorderPublisher
from interactive_dl.telemetry.recorder import await_recorder, recorder_command
from interactive_dl.telemetry.run import Run, Runs
from tests.telemetry.telling import DEADLINE_S, RUN, started


def _until(is_so: Callable[[], object], what: str = "", deadline_s: float = DEADLINE_S) -> None:
    end_s = time.monotonic() + deadline_s
    while not is_so():
        assert time.monotonic() < end_s, f"not within {deadline_s:g} s: {what}"
        time.sleep(0.002)


@pytest.fixture
def until() -> Callable[..., None]:
    """Wait for a condition, up to a deadline."""
    return _until


@dataclass
class RecorderProcess:
    """A recorder under its supervisor.

    Attributes:
        folder: the cluster's.
        runs: folder of the journals.
        port: it listens on.
        log: everything that it printed.
    """

    folder: Path
    runs: Path
    port: int
    log: Path
    more_words: tuple[str, ...] = ()
    _supervisor: subprocess.Popen[bytes] | None = field(default=None)

    def start(self) -> RecorderProcess:
        command = [*recorder_command(self.folder, self.runs, self.port), *self.more_words]
        environment = {**os.environ, _address.CLUSTER_VARIABLE: str(self.folder)}
        with self.log.open("ab") as log:
            self._supervisor = subprocess.Popen(
                command, env=environment, stdout=log, stderr=log, start_new_session=True
            )
        await_recorder(self.folder, DEADLINE_S, lambda: self.supervisor.poll() is not None)
        return self

    @property
    def supervisor(self) -> subprocess.Popen[bytes]:
        assert self._supervisor is not None
        return self._supervisor

    @property
    def address(self) -> _address.Address:
        return _address.read(self.folder)

    def child(self) -> psutil.Process:
        """The recorder proper."""
        found: list[psutil.Process] = []

        def is_there() -> bool:
            found[:] = psutil.Process(self.supervisor.pid).children()
            return bool(found)

        _until(is_there, "the recorder runs")
        return found[0]

    def kill(self) -> None:
        """``kill -9`` of the recorder, not of its supervisor; wait until it is gone."""
        child = self.child()
        child.send_signal(signal.SIGKILL)
        _until(lambda: not child.is_running(), "the killed recorder is gone")

    def stop(self) -> int:
        self.supervisor.terminate()
        return self.supervisor.wait(DEADLINE_S)

    def clean_up(self) -> None:
        """Kill what is left, the recorder too if it did not go with its supervisor."""
        if self._supervisor is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._supervisor.pid, signal.SIGKILL)
            self._supervisor.wait(DEADLINE_S)


@pytest.fixture
def recorder_process(tmp_path: Path) -> Iterator[RecorderProcess]:
    """One that was not started."""
    folder = tmp_path / "cluster"
    folder.mkdir(mode=0o700)
    (port,) = quiet_ports(1)
    process = RecorderProcess(folder, tmp_path / "runs", port, tmp_path / "recorder.log")
    yield process
    process.clean_up()


@pytest.fixture
def recorder(recorder_process: RecorderProcess) -> RecorderProcess:
    """One that answers."""
    return recorder_process.start()


@pytest.fixture
def tell(recorder: RecorderProcess) -> Iterator[Callable[..., RecorderPublisher]]:
    """Open publishers: ``tell(run, engine)``."""
    opened: list[RecorderPublisher] = []

    def open_publisher(run: str, engine: int = 0, **options: int) -> RecorderPublisher:
        opened.append(RecorderPublisher(run, engine, recorder.address, **options))
        return opened[-1]

    yield open_publisher
    for publisher in opened:
        publisher.close(DEADLINE_S)


@pytest.fixture
def told(
    tell: Callable[..., RecorderPublisher], runs: Runs, until: Callable[..., None]
) -> tuple[RecorderPublisher, Run]:
    """A run that has started: its engine's end and the notebook's."""
    line = tell(RUN)
    line.publish(started())
    until(lambda: RUN in runs)
    return line, runs[RUN]


@pytest.fixture
def runs(recorder: RecorderProcess) -> Iterator[Runs]:
    """As a notebook sees them."""
    found = Runs(recorder.runs, recorder.folder)
    yield found
    found.close()
