"""What a job's steward makes of its nodes, and leaves on disk."""

from __future__ import annotations

import errno
import itertools
import math
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from interactive_dl.cluster.slurm import commands, jobs
from interactive_dl.cluster.slurm.launchers import launcher
from interactive_dl.cluster.slurm.silence import Place, Silence
from interactive_dl.cluster.slurm.steward import _steward, keeper_command, steward_command
from interactive_dl.cluster.slurm.steward.__main__ import main
from interactive_dl.cluster.slurm.steward._nodes import JobNodes, Leaving
from interactive_dl.cluster.slurm.steward._steward import Steward
from interactive_dl.cluster.slurm.worlds import World, end, is_to_end
from interactive_dl.cluster.ssh.steward._guards import Guards
from interactive_dl.errors import RecorderRefusedError, RecorderUnreachableError
from interactive_dl.telemetry import _address, exits, wire


class _Nodes:
    """Nodes that answer until they are cut off, at a time that a test sets."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.cut: set[str] = set()
        places: dict[str, Place] = {name: (name, 6818) for name in ("n1", "n2")}
        self.silence = Silence(places, lambda place: place[0] not in self.cut, lambda: self.now_s)

    def look(self, after_s: float) -> dict[str, float]:
        self.now_s += after_s
        return self.silence.look()


def test_a_silent_node_is_told_since_when_until_it_answers_again() -> None:
    nodes = _Nodes()
    for _ in range(2):
        assert nodes.look(5.0) == {"n1": 0.0, "n2": 0.0}
    nodes.cut = {"n2"}
    assert nodes.look(2.0) == {"n1": 0.0, "n2": 2.0}
    assert nodes.look(1.5) == {"n1": 0.0, "n2": 3.5}
    nodes.cut = set()
    assert nodes.look(1.0) == {"n1": 0.0, "n2": 0.0}


def test_one_that_never_answered_is_silent_since_it_was_asked_first() -> None:
    nodes = _Nodes()
    nodes.cut = {"n1"}
    nodes.look(0.0)
    assert nodes.look(3.0)["n1"] == 3.0


def test_one_that_never_answered_may_be_behind_a_firewall() -> None:
    nodes = _Nodes()
    nodes.cut = {"n1"}
    nodes.look(0.0)
    nodes.now_s += 3.0
    assert nodes.silence.longest_s() == 0.0
    nodes.cut = {"n2"}
    nodes.now_s += 3.0
    assert nodes.silence.longest_s() == 3.0


@pytest.mark.parametrize(
    ("line", "unfit"),
    [
        ("n1|idle|none", {}),
        ("n1|mixed|none", {}),
        ("n1|draining|a bad fan", {"n1": "draining (a bad fan)"}),
        ("n1|down*|Not responding", {"n1": "down* (Not responding)"}),
        ("n1|allocated*|none", {"n1": "allocated*"}),
        ("slurm_load_node error", {}),
    ],
)
def test_nodes_on_which_nothing_is_started(line: str, unfit: dict[str, str]) -> None:
    assert jobs.parse_nodes(line) == unfit


def test_a_drained_node_is_named_beside_the_time_left() -> None:
    job = jobs.Job(7, "RUNNING", left_s=300.0, nodes="n[1-2]", unfit={"n2": "draining (a bad fan)"})
    assert jobs.granted_words(job) == (
        "Job 7 on n[1-2], 5 min left. n2 is draining (a bad fan): Slurm starts nothing more there."
    )


def test_a_suspended_job_is_not_said_to_run() -> None:
    job = jobs.Job(7, "SUSPENDED", left_s=300.0, nodes="n1")
    assert jobs.granted_words(job) == "Job 7 on n1 is suspended until Slurm resumes it, 5 min left."


def test_what_it_says_is_read_as_written(tmp_path: Path) -> None:
    world = World(7, (4, 5), ("n1", "n2"), "restarting", "Engine 1 has died.")
    world.write(tmp_path)
    assert World.read(tmp_path, 7) == world
    assert World.read(tmp_path, 8) is None


def test_it_is_told_to_end_one_job_of_a_cluster(tmp_path: Path) -> None:
    end(tmp_path, 7)
    assert is_to_end(tmp_path, 7)
    assert not is_to_end(tmp_path, 8)


def test_its_command_shows_what_it_starts() -> None:
    words = steward_command(
        Path("/f"), 2, launcher("mpiexec"), ["mpiexec", "-n", "4"], warn_s=300, restart=True
    )
    assert words[3:] == (
        *("--folder", "/f", "--per-node", "2", "--launcher", "mpiexec"),
        *("--warn-s", "300", "--restart"),
        *("--", "mpiexec", "-n", "4"),
    )


def test_a_job_that_slurm_starts_again_ends_at_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    World(7, (0,), ("n1",)).write(tmp_path)
    mpiexec = launcher("mpiexec")
    words = steward_command(tmp_path, 1, mpiexec, ["mpiexec"], warn_s=0, restart=True)
    assert main(words[3:]) == 1
    assert "Slurm has started it again" in caplog.text
    assert World.read(tmp_path, 7) == World(7, (0,), ("n1",))


@pytest.mark.parametrize(("node", "told"), [("0", True), ("1", False)])
def test_a_keeper_tells_the_steward_of_its_node_and_cleans_while_there_are_engines(
    tmp_path: Path, node: str, told: bool
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    job = {**os.environ, "SLURM_JOB_ID": f"test-{os.getpid()}", "SLURM_NODEID": node}
    words = [sys.executable, *keeper_command()[1:], str(scratch)]
    with (
        subprocess.Popen(["sleep", "60"]) as steward,
        subprocess.Popen(
            ["sh", "-c", "read _; : interactive_dl.engine"], env=job, stdin=subprocess.PIPE
        ) as engine,
        subprocess.Popen(
            [*words, str(steward.pid)], env=job, preexec_fn=_wait_with_sigterm
        ) as keeper,
    ):
        try:
            keeper.terminate()
            _until(lambda: not scratch.exists())
            scratch.mkdir()
            _until(lambda: not scratch.exists())
            assert keeper.poll() is None
            engine.kill()
            scratch.mkdir()
            assert keeper.wait(10.0) == 0
            assert not scratch.exists()
            assert steward.poll() == (-signal.SIGTERM if told else None)
        finally:
            for one in (steward, engine, keeper):
                one.kill()


class _Cut:
    """Two nodes, of which this one sees the other cut off; engines are programs that sleep."""

    def __init__(self, folder: Path) -> None:
        self.job = 7
        self.slots = {"n1": 1, "n2": 1}
        self.go_on = ""
        clock_s = itertools.count(0.0, 20.0)
        self.silence = Silence(
            {node: node for node in self.slots}, lambda node: node == "n1", lambda: next(clock_s)
        )
        self.started: list[tuple[str, ...]] = []
        self._folder = folder

    def placed(self, command: Sequence[str], hosts: Sequence[str]) -> list[str]:
        self.started.append(tuple(hosts))
        if len(self.started) > 1:
            end(self._folder, self.job)
        return ["sh", "-c", "exec sleep 60"]

    def survive(self, count: int) -> bool:
        return False

    def first_to_end(self, said: str) -> int | None:
        return launcher("srun:pmix").first_to_end(said)

    def sweep(self) -> None:
        return

    def clear(self) -> None:
        return

    def unfit(self) -> tuple[str, ...]:
        return ()

    def ending(self, number: int) -> str:
        return str(number)

    def leaving(self) -> Leaving:
        return Leaving(90.0, "Job 7 ends in 5 min")


@pytest.mark.parametrize(
    ("recorder_answers", "started"), [(True, [("n1", "n2"), ("n1",)]), (False, [("n1", "n2")])]
)
def test_a_node_that_is_cut_off_itself_starts_nothing_more(
    tmp_path: Path, recorder_answers: bool, started: list[tuple[str, ...]]
) -> None:
    nodes = _Cut(tmp_path)
    before = {number: signal.getsignal(number) for number in (signal.SIGUSR1, signal.SIGTERM)}
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        if not recorder_answers:
            server.close()
        _address.write(tmp_path, _address.Address(f"tcp://127.0.0.1:{port}", "", "", ""))
        steward = Steward(folder=tmp_path, nodes=nodes, command=[], restart=True, is_elastic=False)
        try:
            code = steward.run()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
    assert nodes.started == started
    assert (code == 0) == recorder_answers


def test_the_engine_that_ended_first_is_named_where_somebody_saw_its_end(tmp_path: Path) -> None:
    steward = Steward(
        folder=tmp_path, nodes=_Cut(tmp_path), command=[], restart=True, is_elastic=False
    )
    world = World(7, (4, 5), ("n1", "n2"))
    for engine, host in ((4, "n1"), (5, "n2")):
        birth = exits.Birth(engine, engine - 4, world.ids, host, 99, 98)
        exits.record_loss(tmp_path, birth, "MPI ended it with the others")
    assert steward.why_over(world, world.hosts).endswith("not seen which of them was the first.")
    exits.record_exit(tmp_path, exits.Exit(5, "n2", 99, 3, None, time.time(), 0))
    assert steward.why_over(world, world.hosts) == "Engine 5 on n2 ended first: exit code 3."
    assert steward.why_over(world, ["n1"]).endswith("and n2 cannot be used.")


@pytest.mark.parametrize(
    ("is_named", "is_seen", "told"),
    [
        (True, False, "Engine 5 on n2 ended first: Slurm's plug-in saw its end, "),
        (False, False, "The world of engines has ended; it was not seen which of them "),
        (True, True, "Engine 4 on n1 ended first: exit code 3."),
    ],
)
def test_the_engine_that_slurms_plug_in_names_ended_first_where_nobody_saw_its_end(
    tmp_path: Path, is_named: bool, is_seen: bool, told: str
) -> None:
    said = "slurmstepd-n2: error: mpi/pmix_v4: Error handler invoked: status = -61, source = "
    steward, world = _steward_of(tmp_path), World(7, (4, 5), ("n1", "n2"))
    log = tmp_path / "mpiexec.log"
    log.write_text(f"{said}[slurm.pmix.7.2:0]\n")
    for engine, node in zip(world.ids, world.hosts, strict=True):
        exits.record_birth(tmp_path, exits.Birth(engine, engine - 4, (4, 5), node, 99, 98))
    steward._start(world).kill()
    if is_named:
        log.write_text(f"{log.read_text()}{said}[slurm.pmix.7.3:1]\n{said}[slurm.pmix.7.3:0]\n")
    if is_seen:
        exits.record_exit(tmp_path, exits.Exit(4, "n1", 99, 3, None, time.time(), 0))
    steward._bury(world)
    assert steward.why_over(world, world.hosts).startswith(told)
    how = exits.exits(tmp_path)[5].lost
    assert how.startswith("Slurm" if is_named and not is_seen else "MPI ended it")


def test_what_to_type_before_the_end_is_what_the_hosts_allow(tmp_path: Path) -> None:
    nodes = _Cut(tmp_path)
    steward = Steward(folder=tmp_path, nodes=nodes, command=[], restart=True, is_elastic=False)
    steward._warning = "All ends soon"
    for nodes.go_on in (JobNodes.go_on, Guards.go_on):
        assert steward._note(World(7, (0,), ("n1",)), {}).reason.endswith(f"Type: {nodes.go_on}")
    assert Guards.go_on != JobNodes.go_on == "cluster.renew()"


def test_a_slurm_that_does_not_answer_costs_no_world(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    nodes = _job_nodes(tmp_path)
    nodes.clear()
    nodes.silence.find()
    assert not nodes.unfit()
    assert nodes.leaving() is None
    assert nodes.silence.look() == {}
    assert "there is no squeue" in caplog.text
    assert "there is no sinfo" in caplog.text


def test_engines_start_before_slurm_says_where_their_nodes_are_asked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    said: list[dict[str, Place]] = [{}, {"n1": ("n1", 6818), "n2": ("n2", 6818)}]
    monkeypatch.setattr(commands, "slurmd_places", lambda _: said.pop(0))
    silence = _job_nodes(tmp_path).silence
    assert len(said) == 2
    silence.find()
    assert silence.places == {}
    for _ in range(2):
        silence.find()
        assert set(silence.places) == {"n1", "n2"}


@pytest.mark.parametrize(
    ("left_s", "warn_s", "leaving"),
    [
        (600.0, 300, Leaving(310.0, "Slurm job 7 ends in 5 min")),
        (200.0, 300, Leaving(0.0, "Slurm job 7 ends in 5 min")),
        (50.0, 10, Leaving(45.0, "Slurm job 7 ends in 10 s")),
        (None, 300, Leaving(math.inf, "Slurm job 7 ends in 5 min")),
        (600.0, 0, None),
    ],
)
def test_what_is_to_leave_without_a_steward_does_so_after_slurm_would_have_told_it(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    left_s: float | None,
    warn_s: int,
    leaving: Leaving | None,
) -> None:
    job = jobs.Job(7, "RUNNING", left_s=left_s)
    monkeypatch.setattr(commands, "listing", lambda _: {7: job})
    assert _job_nodes(tmp_path, warn_s).leaving() == leaving


@pytest.mark.parametrize(("is_elastic", "hosts"), [(True, 2), (True, 1), (False, 2)])
def test_the_recorder_knows_beforehand_when_engines_end_that_outlive_their_steward(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, is_elastic: bool, hosts: int
) -> None:
    told: list[wire.Vacate] = []
    is_enough = threading.Event()

    def hear(_: object, message: wire.Vacate, __: float) -> None:
        told.append(message)
        if len(told) == 1:
            raise RecorderUnreachableError("It starts again.")
        if len(told) > 2:
            is_enough.set()

    monkeypatch.setattr(_steward, "ask", hear)
    monkeypatch.setattr(_steward, "_ANNOUNCE_S", (0.01, 0.01))
    _address.write(tmp_path, _address.Address("tcp://127.0.0.1:1", "", "", ""))
    steward = Steward(
        folder=tmp_path, nodes=_Cut(tmp_path), command=[], restart=False, is_elastic=is_elastic
    )
    is_over = steward._announce_end(World(7, (4, 5), ("n1", "n2")[:hosts]))
    is_announced = is_elastic and hosts > 1
    assert is_enough.wait(10.0 if is_announced else 0.1) == is_announced
    is_over.set()
    assert set(told) == ({wire.Vacate(1, "Job 7 ends in 5 min", (4, 5), 90.0)} if told else set())


def test_engines_that_cannot_be_numbered_wait_until_they_can(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tries: list[int] = []

    def claim(folder: Path, count: int) -> tuple[int, ...]:
        tries.append(count)
        if len(tries) < 3:
            raise OSError(errno.EDQUOT, "Disk quota exceeded")
        return (8, 9)

    monkeypatch.setattr(exits, "claim_ids", claim)
    monkeypatch.setattr(_steward, "_LOOK_S", 0.01)
    steward = _steward_of(tmp_path)
    assert steward._claim(("n1", "n2")) == (8, 9)
    assert caplog.text.count("Disk quota exceeded") == 1


@pytest.mark.parametrize("how", ["stopped", "warned"])
def test_engines_that_cannot_be_numbered_are_not_waited_for_beyond_the_end(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, how: str
) -> None:
    def claim(folder: Path, count: int) -> tuple[int, ...]:
        if how == "stopped":
            end(tmp_path, 7)
        else:
            steward._hear(signal.SIGTERM, None)
        raise OSError(errno.EDQUOT, "Disk quota exceeded")

    monkeypatch.setattr(exits, "claim_ids", claim)
    steward = _steward_of(tmp_path)
    assert steward.run() == (0 if how == "stopped" else 1)


def test_a_loss_that_cannot_be_written_costs_no_world(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EDQUOT, "Disk quota exceeded")

    for engine in (4, 5):
        exits.record_birth(tmp_path, exits.Birth(engine, engine - 4, (4, 5), "n1", 99, 98))
    monkeypatch.setattr(exits, "record_loss", refuse)
    _steward_of(tmp_path)._bury(World(7, (4, 5), ("n1", "n2")))
    assert "Notebooks are not told how engine 4 ended: " in caplog.text
    assert "engine 5" in caplog.text


def _job_nodes(folder: Path, warn_s: int = 300) -> JobNodes:
    return JobNodes(7, folder, ["n1", "n2"], 1, launcher("mpiexec"), warn_s)


def _steward_of(folder: Path) -> Steward:
    return Steward(folder=folder, nodes=_Cut(folder), command=[], restart=True, is_elastic=False)


def test_what_cannot_be_written_is_logged_and_leaves_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    in_the_way = tmp_path / "job-7.json"
    in_the_way.mkdir()
    World(7, (0,), ("n1",)).write(tmp_path)
    assert list(tmp_path.iterdir()) == [in_the_way]
    assert "Notebooks are not told" in caplog.text


def test_a_file_system_with_an_error_is_no_order_to_end(tmp_path: Path) -> None:
    assert not is_to_end(tmp_path / (300 * "x"), 7)


def test_a_recorder_that_refuses_is_not_asked_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object) -> None:
        raise RecorderRefusedError("It speaks another version.")

    monkeypatch.setattr(_steward, "ask", refuse)
    _address.write(tmp_path, _address.Address("tcp://127.0.0.1:1", "", "", ""))
    steward = Steward(
        folder=tmp_path, nodes=_Cut(tmp_path), command=[], restart=True, is_elastic=False
    )
    steward._vacate(World(7, (4, 5), ("n1", "n2")))
    assert "without a checkpoint: It speaks another version." in caplog.text


def test_engines_that_were_started_since_are_asked_to_leave_with_the_others(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    told: list[wire.Vacate] = []
    monkeypatch.setattr(_steward, "ask", lambda _, message, __: told.append(message))
    _address.write(tmp_path, _address.Address("tcp://127.0.0.1:1", "", "", ""))
    world = World(7, (4, 5), ("n1", "n2"))
    for one in (World(6, (0, 1), ("n1", "n2")), world, World(8, (7, 8), ("n1", "n2"))):
        one.write(tmp_path)
    for engine in (0, 1, 4, 6, 7, 8):
        exits.record_birth(tmp_path, exits.Birth(engine, 0, (engine,), "n1", 99, 98))
    _steward_of(tmp_path)._vacate(world)
    assert [one.engines for one in told] == [(4, 5, 6)]


def _wait_with_sigterm() -> None:
    """One that comes before the keeper is ready waits for it."""
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])


def _until(condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + 10.0
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.01)
