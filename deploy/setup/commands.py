"""Commands whose output goes to a log while one line tells how far they are."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from deploy.setup.progress import Progress

_TAIL_LINES = 25
_GRACE_S = 10.0


class CommandFailedError(Exception):
    """A command of the set-up failed; its message has the end of the log and the log's path."""


def run(
    title: str,
    command: Sequence[str],
    *,
    log: Path,
    percent: Callable[[str], int | None],
    environment: Mapping[str, str] | None = None,
    held: tuple[int, ...] = (),
) -> None:
    """Run a command to its end, and show how far it is.

    Args:
        title: what the command does, for the progress line.
        command: words of the command.
        log: file that its output is appended to.
        percent: reads a line of output, and tells the percentage that it states, or None.
        environment: the command's environment; by default this process's.
        held: file descriptors of locks. The command inherits them, so that what a killed set-up
            left running keeps the next one waiting.

    Raises:
        CommandFailedError: it ended with another exit code than 0.
    """
    progress = Progress(title, sys.stdout, time.monotonic)
    progress.start()
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab", buffering=0) as written:
        written.write(f"\n$ {' '.join(command)}\n".encode())
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=None if environment is None else dict(environment),
            start_new_session=True,
            pass_fds=held,
        )
        try:
            code = _follow(process, written.write, lambda line: progress.update(percent(line)))
        except BaseException:
            end(process)
            progress.finish("stopped")
            raise
    progress.finish("done" if code == 0 else "failed")
    if code != 0:
        raise CommandFailedError(failure(title, code, log))


def failure(title: str, code: int, log: Path) -> str:
    """What to tell about a command that failed."""
    lines = log.read_text(errors="replace").splitlines()[-_TAIL_LINES:]
    return "\n".join(
        [
            f"{title} failed with exit code {code}. The last lines of its log:",
            *(f"    {line}" for line in lines),
            f"The whole log: {log}",
        ]
    )


def end(process: subprocess.Popen[bytes]) -> None:
    """End a command with all that it started; ``make`` removes half-written object files."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(timeout=_GRACE_S)
        except subprocess.TimeoutExpired:
            continue
        except ProcessLookupError:
            return


def _follow(
    process: subprocess.Popen[bytes],
    write: Callable[[bytes], object],
    read_line: Callable[[str], None],
) -> int:
    assert process.stdout is not None
    source = process.stdout.fileno()
    rest = b""
    with selectors.DefaultSelector() as selector:
        selector.register(source, selectors.EVENT_READ)
        while True:
            if not selector.select(timeout=1.0):
                read_line("")
                continue
            chunk = os.read(source, 1 << 16)
            if not chunk:
                return process.wait()
            write(chunk)
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                read_line(line.decode(errors="replace"))
