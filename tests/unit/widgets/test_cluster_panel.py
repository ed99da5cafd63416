"""A cluster's panel without a browser."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import ipywidgets
import pytest

from interactive_dl.cluster import Death, Engine, State
from interactive_dl.telemetry.events import Resources
from interactive_dl_widgets import ClusterPanel, render
from interactive_dl_widgets._loads import LocalLoads
from interactive_dl_widgets.log_pane import LogPane
from interactive_dl_widgets.views.engines import (
    EngineRow,
    Load,
    engine_rows,
    merged,
    reported_loads,
)
from tests.unit.widgets.told import Page, parts, started, told

Eventually = Callable[[Callable[[], bool]], None]


def engine(number: int, state: str = "ready", **fields: object) -> Engine:
    usual = {"rank": number, "host": socket.gethostname(), "pid": os.getpid(), "log": Path("log")}
    return Engine(id=number, state=state, **{**usual, **fields})  # type: ignore[arg-type]


class FakeCluster:
    """What a panel needs of a cluster; its methods note that they were called."""

    id = "fake"

    def __init__(self) -> None:
        self.state = State("stopped")
        self.engines: tuple[Engine, ...] = ()
        self.deaths: tuple[Death, ...] = ()
        self.calls: list[str] = []
        self.error: Exception | None = None

    def start(self) -> None:
        self._note("start", State("ready"))
        self.engines = (engine(0), engine(1))

    def heal(self) -> None:
        self._note("heal", State("ready"))

    def restart(self) -> None:
        self._note("restart", State("ready"))

    def stop(self) -> None:
        self._note("stop", State("stopped"))
        self.engines = ()

    def _note(self, call: str, state: State) -> None:
        self.calls.append(call)
        if self.error:
            raise self.error
        self.state = state


@pytest.fixture
def cluster() -> FakeCluster:
    return FakeCluster()


@pytest.fixture
def panel(page: Page, cluster: FakeCluster) -> Iterator[ClusterPanel]:
    shown = ClusterPanel(cluster)  # type: ignore[arg-type]
    shown.draw()
    yield shown
    shown.close()


def click(panel: ClusterPanel, label: str) -> None:
    buttons = (one for one in parts(panel) if isinstance(one, ipywidgets.Button))
    next(one for one in buttons if one.description == label).click()


def enabled(panel: ClusterPanel) -> list[str]:
    return [one.description for one in panel._buttons.values() if not one.disabled]


def words(panel: ClusterPanel) -> str:
    return "\n".join(one.value for one in parts(panel) if isinstance(one, ipywidgets.HTML))


def settled(panel: ClusterPanel) -> None:
    assert panel._worker is not None
    panel._worker.join()
    panel.draw()


def test_start_starts_and_the_engines_are_listed(panel: ClusterPanel, cluster: FakeCluster) -> None:
    assert enabled(panel) == ["Start"]
    click(panel, "Start")
    settled(panel)
    assert cluster.calls == ["start"]
    assert enabled(panel) == ["Restart", "Stop"]
    assert words(panel).count("<tr>") == 3
    assert "2 engines" in words(panel)


def test_what_ends_engines_asks_first(panel: ClusterPanel, cluster: FakeCluster) -> None:
    cluster.start()
    panel.draw()
    click(panel, "Stop")
    assert cluster.calls == ["start"]
    click(panel, "No")
    assert cluster.calls == ["start"]
    click(panel, "Yes")
    assert cluster.calls == ["start"]
    click(panel, "Stop")
    click(panel, "Yes")
    settled(panel)
    assert cluster.calls == ["start", "stop"]
    click(panel, "Restart")
    assert "Restart and lose" in panel._question._text.value


def test_a_dead_engine_has_its_reason_and_can_be_healed(
    panel: ClusterPanel, cluster: FakeCluster
) -> None:
    cluster.start()
    cluster.engines = (engine(0), engine(1, "dead", pid=0))
    cluster.deaths = (Death(1, 1, "node", 7, None, 9, 0.0, "killed by SIGKILL <oom>", ()),)
    cluster.state = State("degraded", "Engine 1 died.")
    panel.draw()
    assert "killed by SIGKILL &lt;oom&gt;" in words(panel)
    assert "Engine 1 died." in words(panel)
    assert enabled(panel) == ["Heal", "Restart", "Stop"]
    click(panel, "Heal")
    settled(panel)
    assert cluster.calls == ["start", "heal"]


def test_an_error_is_shown(panel: ClusterPanel, cluster: FakeCluster) -> None:
    cluster.error = RuntimeError("no mpiexec")
    click(panel, "Start")
    settled(panel)
    log = next(one for one in parts(panel) if isinstance(one, LogPane))
    assert "Starting the cluster: RuntimeError: no mpiexec" in log.lines[0][1]
    assert log.layout.display == "block"
    assert enabled(panel) == ["Start"]


def test_it_looks_again_and_again_until_it_is_stopped(
    panel: ClusterPanel, cluster: FakeCluster, eventually: Eventually
) -> None:
    panel.start()
    panel.start()
    cluster.start()
    eventually(lambda: "2 engines" in words(panel))
    panel.stop()
    panel.stop()
    cluster.stop()
    assert "2 engines" in words(panel)


def test_loads_of_this_hosts_engines_are_measured() -> None:
    loads = LocalLoads().measure([engine(3), engine(4, host="elsewhere", pid=1)])
    assert list(loads) == [3]
    assert (loads[3].rss_bytes or 0) > 1e6


def test_what_a_run_tells_of_its_ranks_belongs_to_its_engines() -> None:
    begun = started(engines=(7, 9))
    gpus = Resources((50.0, 60.0), (10, 20), (70.0, 80.0), (30, 40))
    assert reported_loads(told(begun, gpus)) == {
        7: Load(50.0, 10, 70.0, 30),
        9: Load(60.0, 20, 80.0, 40),
    }
    none = Resources((50.0, 60.0), (10, 20))
    assert reported_loads(told(begun, none))[9] == Load(60.0, 20)
    assert reported_loads(told(begun)) == {}


def test_what_is_measured_here_is_newer_but_knows_no_gpus() -> None:
    reported = {1: Load(10.0, 1, 70.0, 30), 2: Load(20.0, 2)}
    assert merged(reported, {1: Load(90.0, 9), 3: Load(5.0, 5)}) == {
        1: Load(90.0, 9, 70.0, 30),
        2: Load(20.0, 2),
        3: Load(5.0, 5),
    }


def test_engines_are_listed_by_rank() -> None:
    rows = engine_rows([engine(5, rank=1), engine(2, rank=0)], [], {5: Load(1.0, 2)})
    assert [(row.rank, row.id, row.load) for row in rows] == [(0, 2, Load()), (1, 5, Load(1.0, 2))]


def test_gpus_have_a_column_where_there_are_any() -> None:
    def row(load: Load) -> EngineRow:
        return EngineRow(0, 0, "a", 1, "ready", "", load)

    assert "GPU" not in render.engines([row(Load(1.0, 2))])
    table = render.engines([row(Load(1.0, 2_000_000_000, 55.0, 3_000_000_000))])
    assert "GPU" in table
    assert "55 %, 3.0 GB" in table
    assert "2.00 GB" in table
