"""Places, descriptions, births, exits and heal plans."""

from __future__ import annotations

import json
import os
import socket
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from interactive_dl.cluster import Cluster, _elsewhere, _healing, _ports, _processes, _status
from interactive_dl.cluster._description import Description, Options
from interactive_dl.cluster._healing import Plan, plan
from interactive_dl.cluster._launcher import Ports
from interactive_dl.cluster._places import Places, known_ids, make_own
from interactive_dl.cluster._ports import quiet_ports
from interactive_dl.cluster.slurm.worlds import World
from interactive_dl.errors import ClusterError, HealError
from interactive_dl.telemetry import exits

if TYPE_CHECKING:
    from interactive_dl.cluster._client import Client


def _description() -> Description:
    return Description("x", "host", Options(3), 1.5)


def _born(places: Places, engine: int, *world: int, born_at_s: float = 0.0) -> None:
    rank = world.index(engine)
    birth = exits.Birth(engine, rank, world, "node7", 99, 98, born_at_s)
    exits.record_birth(places.folder, birth)


def _exit(engine: int, *, code: int | None = None, number: int | None = None) -> exits.Exit:
    return exits.Exit(engine, "host", 7, code, number, 12.5, 3_000_000_000)


def _exit_at(places: Places, engine: int, ended_at_s: float) -> None:
    exits.record_exit(places.folder, replace(_exit(engine, number=9), ended_at_s=ended_at_s))


@pytest.fixture
def places(tmp_path: Path) -> Places:
    found = Places("x", tmp_path)
    found.folder.mkdir(parents=True)
    return found


@pytest.mark.parametrize("cluster_id", ["", "../x", "a/b", ".hidden", "a b", "x" * 65])
def test_an_id_that_cannot_name_a_folder_is_refused(cluster_id: str, tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match="64 letters"):
        Places(cluster_id, tmp_path)


def test_a_description_is_read_as_it_was_written(places: Places) -> None:
    written = _description()
    written.write(places.description)
    assert Description.read(places.description) == written
    assert known_ids(places.ipython_folder) == ("x",)
    assert [path.name for path in places.folder.iterdir()] == ["cluster.json"]


def test_a_description_of_another_version_says_who_can_read_it(places: Places) -> None:
    fields = {**json.loads(json.dumps(asdict(_description()))), "colour": "red"}
    places.description.write_text(json.dumps(fields))
    with pytest.raises(ClusterError, match=r"another one: .*colour.*idl cluster stop x"):
        Description.read(places.description)
    told = _status.summary(places, is_alive=True)
    assert told is not None
    assert (told.id, told.state) == ("x", "unknown")


def test_a_cluster_that_ends_while_all_are_listed_is_left_out(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    _description().write(places.description)

    def end(of: Places) -> str:
        of.remove()
        return str(Description.read(of.description))

    monkeypatch.setattr(_status, "what_ended", end)
    monkeypatch.setattr(_elsewhere, "is_elsewhere", lambda _: False)
    monkeypatch.setattr(_processes, "marks", lambda: frozenset({str(places.folder)}))
    monkeypatch.setenv("IPYTHONDIR", str(places.ipython_folder))
    assert Cluster.list() == ()
    assert _status.summary(places, is_alive=True) is None


def test_a_controller_that_does_not_say_who_is_free_is_not_awaited(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_healing, "_QUEUES_S", 0.01)
    client = SimpleNamespace(ask_queues=Future)
    with pytest.raises(HealError, match="it may be restarting"):
        _healing._free_engine(cast("Client", client), (0, 1))


def test_the_first_engine_with_nothing_to_do_is_free() -> None:
    answer = Future[dict[str, Any]]()
    busy, free = {"queue": 1, "tasks": 0}, {"queue": 0, "tasks": 0}
    answer.set_result({"content": {"status": "ok", "0": busy, "2": free}})
    client = cast("Client", SimpleNamespace(ask_queues=lambda: answer))
    assert _healing._free_engine(client, (0, 1, 2)) == 2
    with pytest.raises(HealError, match="all busy"):
        _healing._free_engine(client, (0, 1))


def test_a_folder_that_another_user_may_have_made_is_not_used(tmp_path: Path) -> None:
    made = tmp_path / "made"
    for _ in range(2):
        make_own(made)
    assert made.stat().st_mode & 0o777 == 0o700
    (tmp_path / "link").symlink_to(made)
    with pytest.raises(ClusterError, match="link was made by user"):
        make_own(tmp_path / "link")


def test_a_cluster_is_not_made_in_a_folder_that_another_user_may_have_made(
    places: Places, tmp_path: Path
) -> None:
    places.remove()
    places.volatile.symlink_to(tmp_path)
    try:
        with pytest.raises(ClusterError, match="was made by user"):
            places.create()
    finally:
        places.volatile.unlink()


def test_a_folder_of_another_user_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: mine + 1)
    with pytest.raises(ClusterError, match=rf"made by user {mine}\b"):
        make_own(tmp_path)


def test_removing_takes_ipyparallels_files_of_this_cluster_only(places: Places) -> None:
    security = places.profile / "security"
    security.mkdir(parents=True)
    for name in ("x", "x-2"):
        (security / f"ipcontroller-{name}-client.json").touch()
    places.remove()
    assert not places.folder.exists()
    assert [path.name for path in security.iterdir()] == ["ipcontroller-x-2-client.json"]


def test_births_and_exits_are_read_as_they_were_written(tmp_path: Path) -> None:
    birth = exits.Birth(12, 1, (3, 12), "host", 7, 6)
    exits.record_birth(tmp_path, birth)
    exits.record_exit(tmp_path, _exit(12, number=9))
    exits.record_exit(tmp_path, _exit(3, code=3))
    assert exits.births(tmp_path) == {12: birth}
    assert list(exits.exits(tmp_path)) == [3, 12]
    assert exits.exits(tmp_path)[12].reason == "killed by SIGKILL"
    assert exits.exits(tmp_path)[3].reason == "exit code 3"


def test_a_reader_never_sees_half_a_record(tmp_path: Path) -> None:
    (tmp_path / ".engine-1.exit.json.99").write_text('{"engine":')
    assert exits.exits(tmp_path) == {}


def test_last_lines_leave_empty_ones_out(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert exits.last_lines(log) == ()
    log.write_text("one\n\ntwo\nthree\n\n")
    assert exits.last_lines(log, 2) == ("two", "three")


def test_a_death_says_who_where_why_and_shows_the_log(places: Places) -> None:
    _description().write(places.description)
    _born(places, 2, 0, 1, 2)
    exits.record_exit(places.folder, _exit(2, number=9))
    exits.log_file(places.folder, 2).write_text("last words\n")
    text = str(_status.death(places, 2))
    assert text.startswith("Engine 2 (rank 2 on node7, pid 99) died: killed by SIGKILL")
    assert "out of memory: it held up to 3.0 GB" in text
    assert text.endswith("    last words")


@pytest.fixture
def three(places: Places) -> Places:
    _description().write(places.description)
    for engine in range(3):
        _born(places, engine, 0, 1, 2)
    return places


def test_the_world_is_that_of_the_youngest_engine(three: Places) -> None:
    assert exits.world(three.folder) == (0, 1, 2)
    _born(three, 3, 0, 2, 3)
    assert exits.world(three.folder) == (0, 2, 3)


def test_engines_that_were_given_back_are_not_of_the_world(places: Places) -> None:
    _born(places, 0, 0, 1)
    _born(places, 1, 0, 1)
    _born(places, 2, 2, born_at_s=10.0)
    for engine in (0, 1):
        birth = exits.births(places.folder)[engine]
        exits.record_loss(places.folder, birth, exits.GIVEN_BACK)
    assert exits.world(places.folder) == (2,)
    assert _status.deaths(places, _status.Registered((2,), (0, 1, 2))) == ()


def test_an_engine_that_was_born_alone_takes_the_place_of_the_dead(three: Places) -> None:
    _exit_at(three, 1, 20.0)
    _born(three, 3, 3, born_at_s=30.0)
    assert exits.world(three.folder) == (0, 2, 3)
    _exit_at(three, 2, 40.0)
    assert exits.world(three.folder) == (0, 2, 3), "the dead are shown until they are replaced"
    _born(three, 4, 4, born_at_s=50.0)
    assert exits.world(three.folder) == (0, 3, 4)
    assert plan(three, (0, 3, 4)) == Plan((0, 3, 4), ())


def test_engines_are_united_when_one_world_has_them_all(three: Places) -> None:
    assert exits.is_united(three.folder, (0, 1, 2))
    _exit_at(three, 1, 20.0)
    _born(three, 3, 3, born_at_s=30.0)
    assert not exits.is_united(three.folder, (0, 2, 3))
    exits.record_union(three.folder, (0, 2, 3))
    assert exits.is_united(three.folder, (0, 2, 3))
    assert exits.world(three.folder) == (0, 2, 3)
    assert exits.births(three.folder)[3].rank == 2


def test_an_engine_lives_until_it_ends_or_its_process_is_gone(three: Places) -> None:
    here = exits.Birth(3, 0, (3,), socket.gethostname(), os.getpid(), 1)
    exits.record_birth(three.folder, here)
    exits.record_birth(three.folder, replace(here, engine=4, pid=2**22 + 1))
    _exit_at(three, 1, 20.0)
    assert exits.living(three.folder) == {0, 2, 3}


def test_replacements_get_ids_that_nobody_had(three: Places) -> None:
    assert plan(three, (0, 2)) == Plan((0, 2), (3,))
    assert plan(three, (0, 2)).world == (0, 2, 4)  # the first attempt may have failed half-way


def test_ids_are_claimed_once_each_by_many_at_once(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        claimed = list(pool.map(lambda _: exits.claim_ids(tmp_path, 5), range(8)))
    assert sorted(one for ids in claimed for one in ids) == list(range(40))
    assert all(list(ids) == sorted(ids) for ids in claimed)


def test_engines_outside_of_the_world_do_not_count_as_survivors(three: Places) -> None:
    assert plan(three, (0, 1, 9)).survivors == (0, 1)


def test_nothing_is_planned_where_nobody_died(three: Places) -> None:
    assert plan(three, (0, 1, 2)).new == ()


@pytest.mark.parametrize(("launcher", "on_one_node"), [("mpiexec", (3,)), ("srun:pmix", ())])
def test_engines_that_all_end_with_one_are_not_replaced_one_by_one(
    three: Places, launcher: str, on_one_node: tuple[int, ...]
) -> None:
    described = replace(_description(), job=7)
    options = replace(described.options, request={"launcher": launcher})
    replace(described, options=options).write(three.description)
    World(7, (0, 1, 2), ("n1", "n2", "n3")).write(three.folder)
    assert plan(three, (0, 1)).new == ()
    World(7, (0, 1, 2), ("n1",)).write(three.folder)
    assert plan(three, (0, 1)).new == on_one_node


def test_a_world_without_survivors_cannot_heal(three: Places) -> None:
    with pytest.raises(HealError, match=r"restart\(\)"):
        plan(three, ())


def test_an_engine_that_has_not_registered_yet_is_not_dead(three: Places) -> None:
    _born(three, 3, 0, 2, 3, born_at_s=time.time())
    registered = _status.Registered(now=(0, 2), ever=(0, 1, 2))
    states = {one.id: one.state for one in _status.engines(three, registered)}
    assert states == {0: "ready", 2: "ready", 3: "starting"}
    assert [one.engine for one in _status.deaths(three, registered)] == [1]


@pytest.mark.parametrize("how", ["ended", "unregistered", "never registered"])
def test_an_engine_is_dead_when_it_is_gone(three: Places, how: str) -> None:
    _born(three, 3, 0, 1, 2, 3, born_at_s=0.0 if how == "never registered" else time.time())
    if how == "ended":
        exits.record_exit(three.folder, _exit(3, code=1))
    ever = (0, 1, 2, 3) if how == "unregistered" else (0, 1, 2)
    registered = _status.Registered(now=(0, 1, 2), ever=ever)
    assert _status.engines(three, registered)[3].state == "dead"


def test_quiet_ports_are_free_and_not_ephemeral() -> None:
    ports = quiet_ports(16)
    assert ports == tuple(range(ports[0], ports[0] + 16))
    assert max(ports) < 32_768
    with socket.create_server(("127.0.0.1", ports[7])):
        assert not _ports._is_free(ports[7], "127.0.0.1")


def test_recorder_and_controller_never_want_the_same_port() -> None:
    ports = Ports.draw("127.0.0.1")
    pools = [word.partition("=")[2].split(",") for word in ports.controller]
    wanted = sorted([ports.recorder, *(int(one) for pool in pools for one in pool)])
    assert wanted == list(range(wanted[0], wanted[0] + 33))


def test_files_hold_plain_json(places: Places) -> None:
    _description().write(places.description)
    assert json.loads(places.description.read_text())["options"]["engines"] == 3
