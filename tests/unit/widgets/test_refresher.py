"""Redrawing is rare, and never forgets the last change."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable

from jupyter_client.manager import start_new_kernel

from interactive_dl_widgets._refresher import Clock, Refresher

Eventually = Callable[[Callable[[], bool]], None]


def test_many_changes_make_few_drawings_and_the_last_is_drawn(eventually: Eventually) -> None:
    state = 0
    drawn: list[int] = []
    refresher = Refresher(lambda: drawn.append(state), 0.05)
    refresher.start()
    eventually(lambda: drawn == [0])
    for _ in range(1000):
        state += 1
        refresher.poke()
    eventually(lambda: drawn[-1] == 1000)
    assert len(drawn) < 10
    refresher.stop()


def test_what_changed_just_before_the_end_is_drawn() -> None:
    drawn: list[str] = []
    state = "before"
    refresher = Refresher(lambda: drawn.append(state), 60.0)
    refresher.start()
    state = "after"
    refresher.poke()
    refresher.stop()
    assert drawn[-1] == "after"


def test_drawing_that_takes_long_leaves_time_for_others(eventually: Eventually) -> None:
    import time

    began_s: list[float] = []

    def draw() -> None:
        began_s.append(time.monotonic())
        threading.Event().wait(0.05)

    refresher = Refresher(draw, 0.01)
    refresher.start()
    for count in (1, 2, 3):
        refresher.poke()
        eventually(lambda count=count: len(began_s) >= count)
    refresher.stop()
    assert began_s[2] - began_s[1] >= 0.2


def test_a_clock_ticks_until_it_is_stopped(eventually: Eventually) -> None:
    ticks: list[int] = []
    clock = Clock(lambda: ticks.append(1), 0.01)
    clock.start()
    clock.start()
    eventually(lambda: len(ticks) >= 3)
    clock.stop()
    clock.stop()
    count = len(ticks)
    assert not [one for one in threading.enumerate() if one.name == "clock"]
    assert len(ticks) == count


_SHOWS_LARGE_PICTURES = """
from IPython.display import display
from interactive_dl_widgets._refresher import Clock
picture = display({"text/plain": ""}, raw=True, display_id="picture")
clock = Clock(lambda: picture.update({"text/plain": 200_000 * "."}, raw=True), 0.003)
clock.start()
"""


def test_every_message_of_a_kernel_that_exits_is_whole() -> None:
    manager, client = start_new_kernel()
    heard = client.iopub_channel.socket
    client.execute(_SHOWS_LARGE_PICTURES)
    for _ in range(5):
        heard.recv_multipart()
    client.shutdown()
    while heard.poll(1000):
        _, (_, *parts) = client.session.feed_identities(heard.recv_multipart())
        assert [type(json.loads(part)) for part in parts] == [dict] * 4
    client.stop_channels()
    manager.finish_shutdown()
