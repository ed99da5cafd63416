"""The notebook's stop button: all engines stop after one step, and the notebook goes on."""

from __future__ import annotations

import queue
import time
from collections.abc import Iterator
from typing import Any

import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager, start_new_kernel

_TIMEOUT_S = 90
_START = """
import interactive_dl as idl
cluster = idl.Cluster(2).start()
"""
_TRAIN = """%%px
import keras
import numpy as np
from interactive_dl import data, engine

class Tell(keras.callbacks.Callback):
    steps = 0
    def on_train_batch_end(self, batch, logs=None):
        self.steps += 1
        if self.steps == 20:
            print("it trains", flush=True)

group = engine.init(seed=1)
x = np.random.default_rng(0).normal(size=(4096, 4)).astype("float32")
train = data.from_arrays(x, x[:, :1]).shard(group).batch(8)
model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
model.compile(engine.distribute(keras.optimizers.SGD(0.01)), "mse")
tell, kept = Tell(), "kept"
model.fit(train, epochs=10_000, verbose=0, callbacks=[tell, *engine.callbacks("long")])
"""
_LOOK = """
look = cluster.client[:]
steps = look.pull("tell.steps", block=True)
same = len({str(w) for w in look.apply_sync(lambda: model.get_weights())}) == 1
print("after", len(set(steps)) == 1 and steps[0] >= 20, same, look["kept"])
"""
_AGAIN = """%%px
model.fit(train, epochs=1, verbose=0, callbacks=engine.callbacks("again"))
print("trained again", engine.current().size)
"""
# A signal between the word and the call would still be heard.
_STUCK = """%%px
import signal
if group.rank == 0:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    print("it waits", flush=True)
    group.comm.recv(source=0)
"""


@pytest.fixture
def kernel() -> Iterator[tuple[KernelManager, BlockingKernelClient]]:
    manager, client = start_new_kernel(kernel_name="python3")
    yield manager, client
    client.execute_interactive("cluster.stop()", timeout=_TIMEOUT_S)
    client.stop_channels()
    manager.shutdown_kernel(now=True)


def run(client: BlockingKernelClient, code: str) -> tuple[dict[str, Any], str]:
    """A cell's reply and everything that it printed."""
    told: list[str] = []
    reply = client.execute_interactive(
        code, timeout=_TIMEOUT_S, output_hook=lambda message: told.append(str(message["content"]))
    )
    return reply["content"], "".join(told)


def interrupt_after(
    manager: KernelManager, client: BlockingKernelClient, code: str, word: str
) -> tuple[dict[str, Any], str]:
    """Run a cell and press stop when it has said ``word`` on every engine."""
    request = client.execute(code)
    told = ""
    deadline_s = time.monotonic() + _TIMEOUT_S
    while word not in told:
        assert time.monotonic() < deadline_s, told
        told += _next(client)
    manager.interrupt_kernel()
    while (reply := client.get_shell_msg(timeout=_TIMEOUT_S))["parent_header"]["msg_id"] != request:
        pass
    return reply["content"], told + _rest(client, request)


def _rest(client: BlockingKernelClient, request: str) -> str:
    """What else the kernel says of a request, up to its being idle again."""
    told = ""
    while True:
        message = client.get_iopub_msg(timeout=_TIMEOUT_S)
        if message["parent_header"].get("msg_id") != request:
            continue
        if message["content"].get("execution_state") == "idle":
            return told
        told += str(message["content"])


def _next(client: BlockingKernelClient) -> str:
    """What the kernel said next, its echo of the code excepted; empty when it says nothing."""
    try:
        message = client.get_iopub_msg(timeout=1.0)
    except queue.Empty:
        return ""
    return " " if message["msg_type"] == "execute_input" else str(message["content"])


def test_stop_ends_the_cell_after_one_step_on_all_engines_and_keeps_everything(
    kernel: tuple[KernelManager, BlockingKernelClient],
) -> None:
    manager, client = kernel
    content, told = run(client, _START)
    assert content["status"] == "ok", told
    content, told = interrupt_after(manager, client, _TRAIN, "it trains")
    assert (content["status"], content.get("ename")) == ("error", "KeyboardInterrupt"), told
    content, told = run(client, _LOOK)
    assert content["status"] == "ok", told
    assert "after True True ['kept', 'kept']" in told
    content, told = run(client, _AGAIN)
    assert content["status"] == "ok", told
    assert told.count("trained again 2") == 2


def test_a_call_that_hears_no_signal_is_named_and_the_notebook_lives(
    kernel: tuple[KernelManager, BlockingKernelClient],
) -> None:
    manager, client = kernel
    run(client, _START)
    run(client, "%px from interactive_dl import engine; group = engine.init()")
    run(client, "import interactive_dl.cluster._px as px; px._PATIENCE_S = 1.0")
    content, told = interrupt_after(manager, client, _STUCK, "it waits")
    assert (content["status"], content.get("ename")) == ("error", "KeyboardInterrupt"), told
    assert "Engines [0] have not stopped after 1 s" in told
    assert "cluster.restart()" in told
    content, told = run(client, "cluster.restart(); print(cluster.state)")
    assert "ready" in told
