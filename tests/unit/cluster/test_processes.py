"""What counts as a living process."""

from __future__ import annotations

import subprocess
import sys

import psutil

from interactive_dl.cluster import _processes

_ENDS_ITS_MAIN_THREAD_FIRST = """
import ctypes, sys, threading
threading.Thread(target=sys.stdin.read).start()
print("up", flush=True)
ctypes.CDLL(None).pthread_exit(None)
"""


def test_a_process_lives_until_its_last_thread_has_ended() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _ENDS_ITS_MAIN_THREAD_FIRST],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as child:
        assert child.stdin
        assert child.stdout
        child.stdout.readline()
        process = psutil.Process(child.pid)
        while process.status() != psutil.STATUS_ZOMBIE:
            psutil.wait_procs([psutil.Process()], timeout=0.01)
        assert _processes._still_there([process], 0.0) == [process]

        child.stdin.close()
        assert _processes._still_there([process], 20.0) == []
